"""The parser of the command line: every group of commands adds its own."""

from __future__ import annotations

import argparse

from kronii import __version__
from kronii.commands import audit, doctor, file, history, nodes, operations, run, schema

#: The groups of commands, in the order of `kronii --help`.
GROUPS = (run, file, history, operations, audit, doctor, nodes, schema)

EPILOG = """\
settings come from the environment and from .env in the working directory; the README lists them.
exit status: 0 done; 1 failed or problems found; 2 usage; 3 no such job or run;
69 database unreachable; 75 already running, or in use; 78 configuration."""


def build_parser() -> argparse.ArgumentParser:
    """Every command with its options; `function` of the parsed options runs the command."""
    parser = argparse.ArgumentParser(
        prog="kronii",
        description="Cron for a fleet, on PostgreSQL.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kronii {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for group in GROUPS:
        group.register(commands)
    return parser
