"""`kronii COMMAND`: the streams, the parser, the command, its exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kronii.commands import streams
from kronii.commands.parser import build_parser
from kronii.errors import KroniiError, UsageError

#: Exit status after SIGINT, as shells give it.
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (docs/reference.md: Commands and exit status)."""
    streams.open_all()
    try:
        return _answer(arguments)
    finally:
        streams.flush_stderr()


def _answer(arguments: Sequence[str] | None) -> int:
    try:
        try:
            return _run_command(arguments)
        finally:
            sys.stdout.flush()  # here, where a full disk or a closed pipe can still be answered
    except BrokenPipeError:  # `kronii history | head`
        streams.discard(sys.stdout)
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if error.errno not in streams.UNWRITABLE:
            raise
        streams.discard(sys.stdout)
        streams.complain(f"kronii: the output can't be written: {error.strerror}")
        return 1


def _run_command(arguments: Sequence[str] | None) -> int:
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return UsageError.exit_status
    try:
        return int(options.function(options))
    except KroniiError as error:
        streams.complain(_sentence(error))
        return error.exit_status


def _sentence(error: KroniiError) -> str:
    text = str(error)
    return text if "\n" in text else f"kronii: {text}"
