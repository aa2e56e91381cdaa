"""Keeping the database's address from jobs, which run as the same user as their instance.

Whatever is in the environment that a process was started with can be read in `/proc/PID/environ`
for as long as it lives, and its memory through `/proc/PID/mem`, a debugger or a core file.  So what
is secret is overwritten where it was handed to us, and the process is made one that the kernel lets
nobody but root look into ("dumpable" in prctl(2), PR_SET_DUMPABLE; ptrace(2)).  A program that such
a process starts is an ordinary one again.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

#: Variables that a job must not have: they are, or lead to, the database's address.  libpq's own
#: begin with PG (PostgreSQL manual, "Environment Variables").
PRIVATE = frozenset(
    {"CREDENTIALS_DIRECTORY", "DATABASE_URL", "DATABASE_URL_FILE", "KRONII_DATABASE_URL_FILE"}
)
PRIVATE_PREFIX = "PG"

#: The option of `prctl` that says whether others may look into this process (linux/prctl.h).
PR_SET_DUMPABLE = 4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.getenv.restype = ctypes.c_void_p


def is_private(name: str) -> bool:
    """True for a variable that is not for jobs."""
    return name in PRIVATE or name.startswith(PRIVATE_PREFIX)


def public(environ: Mapping[str, str]) -> dict[str, str]:
    """What of an environment others may have."""
    return {name: value for name, value in environ.items() if not is_private(name)}


def keep() -> None:
    """From now on nobody but root looks into this process, nor into what it forks; and what is
    secret is not where it was handed to us.  Our own environment stays as it is.
    """
    _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    for name in filter(is_private, os.environ):
        _overwrite(os.fsencode(name))


def _overwrite(name: bytes) -> None:
    """Let a variable live elsewhere, and overwrite what the kernel shows of it."""
    handed = _libc.getenv(name)
    value = os.environb[name]
    os.putenv(name, value)
    if handed and _libc.getenv(name) != handed:
        ctypes.memset(handed, ord("*"), len(value))
