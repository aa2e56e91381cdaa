"""Kronii: cron for a fleet, on PostgreSQL.

`ARCHITECTURE` in CONTRIBUTING.md names every room of the house and the one direction in which they
import each other.
"""

__version__ = "1.0.0"
