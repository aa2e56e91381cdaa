"""`python -m tests.support.filtered FILTER COMMAND…`: run a command under the system calls that a
unit's `SystemCallFilter=FILTER` leaves it, refused ones with EPERM, by systemd's own lists.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

#: Actions of a filter (seccomp.h of libseccomp).
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM


def names(group: str) -> Iterator[str]:
    """The system calls of a group, and of those that it holds."""
    if not group.startswith("@"):
        yield group
        return
    analyze = shutil.which("systemd-analyze", path=os.defpath) or "systemd-analyze"
    command = [analyze, "--no-pager", "syscall-filter", group]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines()[1:]:
        if (word := line.strip()) and not word.startswith("#"):
            yield from names(word)


def load(words: list[str]) -> None:
    """Filter this process's calls, and those of everything that it becomes or starts.

    Raises:
        OSError: there is no libseccomp, or it refuses.
    """
    refused = words[0].startswith("~")
    rule, other = (REFUSE, ALLOW) if refused else (ALLOW, REFUSE)
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    filters = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(other)))
    for group in words:
        for name in set(names(group.removeprefix("~"))):
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number >= 0:  # this machine has it
                library.seccomp_rule_add_array(filters, ctypes.c_uint32(rule), number, 0, None)
    if result := library.seccomp_load(filters):
        raise OSError(-result, "seccomp_load")


if __name__ == "__main__":
    load(sys.argv[1].split())
    os.execv(sys.argv[2], sys.argv[2:])
