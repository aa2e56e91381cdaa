"""Files that a user names: regular ones only, and no more of them than is expected.

A pipe has a reader wait for its writer, a device may never end, and merely opening one may do
something.  What may hang nevertheless (a file on a server that does not answer) is the caller's to
wait for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

#: What else a path may name.
_OTHERS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_MIB = 1024 * 1024
#: Bytes asked for at once.
_CHUNK = _MIB


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of a regular file, or of what a link to one leads to.

    Args:
        path: the file.
        limit: the most bytes that it may have.

    Raises:
        OSError: it can't be read, is no regular file, or is larger; `strerror` says which.
        ValueError: the path can't be one.
    """
    with _opened(path) as descriptor:
        return _content(descriptor, limit)


def read_start(path: Path, length: int) -> bytes:
    """Return the first `length` bytes of a regular file; raises as `read_file` does."""
    with _opened(path) as descriptor:
        return os.read(descriptor, length)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    _refuse_others(os.stat(path))
    # O_NONBLOCK: what has become a pipe since must not have us wait for its writer
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        _refuse_others(os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_others(found: os.stat_result) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if kind != stat.S_IFREG:
        what = _OTHERS.get(kind, "something else")
        raise OSError(errno.EINVAL, f"it is {what}, and only a regular file is read")


def _content(descriptor: int, limit: int) -> bytes:
    """All of it; a file of /proc says that it is empty and has no end."""
    content = bytearray()
    while chunk := os.read(descriptor, min(_CHUNK, limit + 1 - len(content))):
        content += chunk
        if len(content) > limit:
            raise OSError(errno.EFBIG, f"it is larger than {_size(limit)}")
    return bytes(content)


def _size(limit: int) -> str:
    return f"{limit // _MIB} MiB" if limit >= _MIB else f"{limit // 1024} KiB"
