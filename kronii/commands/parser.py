"""The parser of the command line: every group of commands adds its own."""

from __future__ import annotations

import argparse
from typing import Any

from kronii import __version__, visible
from kronii.commands import audit, doctor, file, history, nodes, operations, run, schema

#: The groups of commands, in the order of `kronii --help`.
GROUPS = (run, file, history, operations, audit, doctor, nodes, schema)

EPILOG = """\
settings come from the environment and from .env in the working directory; the README lists them.
exit status: 0 done; 1 failed or problems found; 2 usage; 3 no such job or run;
69 database unreachable; 75 already running, or in use; 78 configuration."""


class Parser(argparse.ArgumentParser):
    """A parser whose messages, which repeat what they refuse, are no commands to a terminal."""

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(visible.lines(message), file)


def build_parser() -> argparse.ArgumentParser:
    """Every command with its options; `function` of the parsed options runs the command."""
    parser = Parser(
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
