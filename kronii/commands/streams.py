"""stdin, stdout and stderr, whatever the caller has made of them."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

from kronii import visible

#: What a write to stdout may meet.
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


def open_all() -> None:
    """Have all three streams, whatever the caller closed: otherwise a socket becomes descriptor 1
    or 2.

    What a stream's encoding lacks is escaped.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(
                os.open(os.devnull, os.O_RDWR), True
            )  # it gets the lowest free number, which is `fd`
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard(stream: TextIO) -> None:
    """Let nothing fail any more that is still to be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def complain(text: str) -> None:
    """Print lines on stderr, if anybody listens; nothing in them is obeyed by a terminal."""
    try:
        print(visible.lines(text), file=sys.stderr)
    except OSError:  # nobody listens; the exit status still says it
        discard(sys.stderr)


def flush_stderr() -> None:
    """Write or drop what stderr still holds: at exit the interpreter would make 120 of the exit
    status.
    """
    try:
        sys.stderr.flush()
    except OSError:  # a full disk, or a log whose reader has gone
        discard(sys.stderr)
