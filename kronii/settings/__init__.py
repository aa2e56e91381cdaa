"""Settings: the environment and a `.env` file, read once by one function into one frozen value.

    kinds ─▶ settings ◀─ dotenv, secretfile

To add a setting, add a field to `Settings`, a row to the README's table and a line to .env.example.
"""

from kronii.settings.dotenv import read_dotenv
from kronii.settings.kinds import default_node
from kronii.settings.settings import (
    DEFAULT_PORT,
    JOB_VARIABLES,
    VARIABLES,
    Settings,
    names_a_database,
)

__all__ = [
    "DEFAULT_PORT",
    "JOB_VARIABLES",
    "VARIABLES",
    "Settings",
    "default_node",
    "names_a_database",
    "read_dotenv",
]
