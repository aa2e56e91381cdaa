"""Kronii: cron for a fleet, on PostgreSQL.

CONTRIBUTING.md says what belongs in which package, and in which direction they import each other.
"""

__version__ = "1.0.0"
