"""Settings: the environment and a `.env` file, read once by one function into one frozen value.

    kinds ─▶ settings ◀─ dotenv

To add a setting, add a field to `Settings`, a row to the README's table and a line to .env.example.
"""

from kronii.settings.dotenv import read_dotenv
from kronii.settings.kinds import NODE_LENGTH
from kronii.settings.settings import JOB_VARIABLES, VARIABLES, Settings

__all__ = ["JOB_VARIABLES", "NODE_LENGTH", "VARIABLES", "Settings", "read_dotenv"]
