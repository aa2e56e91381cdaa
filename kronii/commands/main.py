"""`kronii COMMAND`: the streams, the parser, the command, its exit status."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

from kronii import isolation, secrecy
from kronii.commands import streams
from kronii.commands.arguments import refuse_addresses
from kronii.commands.parser import build_parser
from kronii.errors import KroniiError, UsageError

#: Exit status after SIGINT, as shells give it.
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (docs/reference.md: Commands and exit status).

    Without arguments it is the program's own, and this process is the command's.
    """
    streams.open_all()
    if arguments is None:
        _own_the_process()
    try:
        return _answer(arguments)
    finally:
        streams.flush_stderr()


def _own_the_process() -> None:
    """Import nothing from the working directory, let nobody look into this process, and show a bug
    as everything else is shown.
    """
    isolation.leave_directory()
    secrecy.keep()
    sys.excepthook = _show_bug


def _show_bug(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    streams.complain("".join(traceback.format_exception(error)).rstrip())


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
    try:
        refuse_addresses(sys.argv[1:] if arguments is None else arguments)
        options = parser.parse_args(arguments)
        if options.command is None:
            parser.print_help(sys.stderr)
            return UsageError.exit_status
        return int(options.function(options))
    except KroniiError as error:
        streams.complain(_sentence(error))
        return error.exit_status


def _sentence(error: KroniiError) -> str:
    text = str(error)
    return text if "\n" in text else f"kronii: {text}"
