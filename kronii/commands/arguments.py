"""What the groups of commands tell the parser with: a command, and types of arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

from kronii.address import MASK, looks_like_address
from kronii.durations import parse_duration
from kronii.errors import DurationError, UsageError

#: Where commands are added.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

#: Seconds after which `--since` means for ever: more is no interval to PostgreSQL.
LONGEST_SINCE = 36500 * 86400.0

#: The largest number that a count may be.
LARGEST_COUNT = 1_000_000


def add_command(
    commands: Commands,
    name: str,
    function: Callable[[argparse.Namespace], int],
    help: str,
    reads: bool = False,
) -> argparse.ArgumentParser:
    """Add a command and return its parser, for the arguments of its own.

    Args:
        function: runs the command and returns its exit status; it may raise any KroniiError.
        help: one line, for the list of commands and for the command's own help.
        reads: the command only reads, so it has `--json`.
    """
    parser = commands.add_parser(name, help=help, description=help)
    parser.set_defaults(function=function)
    if reads:
        parser.add_argument(
            "--json", action="store_true", help="one JSON document on stdout, times in UTC"
        )
    return parser


def refuse_addresses(arguments: Sequence[str]) -> None:
    """Refuse an address among the arguments, which messages would repeat; raises UsageError.

    No argument of any command is one: the database's comes from the environment, since arguments
    are shown to every user of the host.
    """
    for number, argument in enumerate(arguments, 1):
        if looks_like_address(argument):
            raise UsageError(
                f"argument {number} is {MASK}: it looks like the address of a database, and no"
                " command takes one: put it into DATABASE_URL"
            )


def count(text: str) -> int:
    """A whole number from 1 to LARGEST_COUNT."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= LARGEST_COUNT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number from 1 to {LARGEST_COUNT}"
        )
    return int(text)


def duration(text: str) -> float:
    """Seconds from now back: `30m`, `12h`, `1d`; at most LONGEST_SINCE."""
    try:
        return min(parse_duration(text), LONGEST_SINCE)
    except DurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def time(text: str) -> datetime:
    """A time in ISO 8601; naive where the text has no offset."""
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: write it as 2026-11-23T08:00:00Z"
        ) from error
