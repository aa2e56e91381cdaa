"""Modules that lie in a working directory under the names of those that Kronii imports."""

from __future__ import annotations

from pathlib import Path

#: What Kronii and its libraries import, or look for in vain: psycopg's other implementations,
#: `zoneinfo`'s data, optional parts, and modules of the standard library that come late.
#: (`python -m` itself loads some of these before anything of ours: see docs/security.md.)
NAMES = (
    *("yaml", "_yaml", "psycopg", "psycopg_c", "psycopg_binary", "psycopg_pool", "croniter"),
    *("dotenv", "prometheus_client", "tzdata", "dateutil", "pytz", "typing_extensions", "six"),
    *("json", "typing", "logging", "ctypes", "argparse", "traceback", "subprocess", "zoneinfo"),
    *("uuid", "mmap", "socket", "ssl", "select", "signal", "resource", "datetime", "asyncio"),
    *("multiprocessing", "sitecustomize", "usercustomize", "numpy", "IPython", "shapely"),
    *("snappy", "org", "winreg", "_winapi", "msvcrt"),
)
PLANTED = """
import os
with open({record!r}, "a") as file:
    file.write(__name__ + "\\n")
raise SystemExit("planted")
"""


def plant(directory: Path) -> None:
    """Put them there; each that runs says so."""
    for name in NAMES:
        (directory / f"{name}.py").write_text(PLANTED.format(record=str(directory / "ran")))


def ran(directory: Path) -> list[str]:
    """Those that ran."""
    record = directory / "ran"
    return record.read_text().split() if record.exists() else []
