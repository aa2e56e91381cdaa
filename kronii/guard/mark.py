"""The second mark of what an instance starts: a bound that only its descendants have.

The first one, a variable, is lost by a process that overwrites its environment or starts a program
without it; and nobody can read it of a process that has other rights than ours, forbids that it be
looked at, or is still between fork and exec.  A resource limit is none of that: a child has it from
its first moment on, a program keeps it, and everybody may read it.

The limit is RTTIME, which bounds how long a process of real-time priority may compute without a
pause.  Ours is some 70,000 years, so it bounds nothing.
"""

from __future__ import annotations

import resource
import secrets

#: What RLIM_INFINITY comes to here, and the lowest bound of which numbers can still be told apart;
#: microseconds, and so some 280 years.
_UNBOUNDED, _LOWEST = 1 << 62, 1 << 53


def mark_limits() -> bool:
    """Give this process, and so whatever it starts, a bound of its own; False if that can't be.

    Only a lower bound than before can be had without privileges, as where one instance's job
    starts another instance.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    most = _UNBOUNDED if hard == resource.RLIM_INFINITY else hard
    if most < 2 * _LOWEST:
        return False
    bound = most // 2 + secrets.randbelow(most // 2)
    ours = bound if soft == resource.RLIM_INFINITY else min(soft, bound)
    try:
        resource.setrlimit(resource.RLIMIT_RTTIME, (ours, bound))
    except (OSError, ValueError):  # not every kernel that calls itself Linux has it
        return False
    return True


def own_mark() -> int:
    """The bound of the instance that started this process; 0 if there is none."""
    _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    return hard if hard >= _LOWEST else 0
