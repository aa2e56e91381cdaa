"""What the dedicated session remembers between two polls: pure values, without a connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Seconds for which a job whose lock is held elsewhere is deferred: doubled each time, from the
#: first to the second.
DEFERRED_FOR = (0.05, 1.0)
#: Seconds for which a job's lock must have been held elsewhere, without a longer break than that,
#: until it is asked who does: an instance frees the lock of a run that has ended at its next step.
STUCK_AFTER = 2.0


class HeldLocks:
    """The locks that a session holds, by run: two runs of a job that follow each other hold the
    same key twice, because session locks are counted.
    """

    def __init__(self) -> None:
        self._keys: dict[int, int] = {}

    def add(self, run_id: int, key: int) -> None:
        """The lock of a run has been taken."""
        self._keys[run_id] = key

    def held(self, runs: Iterable[int]) -> list[int]:
        """Those of `runs` whose lock is held."""
        return [run for run in runs if run in self._keys]

    def keys(self, runs: Iterable[int]) -> list[int]:
        """The keys of these runs, all of which hold one."""
        return [self._keys[run] for run in runs]

    def remove(self, runs: Sequence[int]) -> None:
        """The locks of these runs have been freed."""
        for run in runs:
            del self._keys[run]

    def clear(self) -> None:
        """The session has ended, and its locks with it."""
        self._keys.clear()


@dataclass(slots=True)
class _Deferred:
    """Monotonic seconds: refused since, deferred until; and for how long that is."""

    since: float
    until: float
    wait: float


class DeferredJobs:
    """Jobs whose lock is held elsewhere: each is left alone for a while, longer each time, so that
    it does not crowd out the others.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, _Deferred] = {}

    def add(self, job_id: str, now: float) -> None:
        """Its lock was held elsewhere at monotonic second `now`."""
        first, longest = DEFERRED_FOR
        job = self._jobs.setdefault(job_id, _Deferred(now, now, first / 2))
        if now > job.until + STUCK_AFTER:
            job.since = now
        job.wait = min(job.wait * 2, longest)
        job.until = now + job.wait

    def remove(self, job_id: str) -> None:
        """Its lock was had."""
        self._jobs.pop(job_id, None)

    def waiting(self, now: float) -> list[str]:
        """Jobs that are still deferred at monotonic second `now`."""
        return [job_id for job_id, job in self._jobs.items() if job.until > now]

    def stuck(self, now: float) -> list[str]:
        """Jobs whose lock has been held elsewhere for so long, at monotonic second `now`, that it
        is worth asking who does.
        """
        return [
            job_id
            for job_id, job in self._jobs.items()
            if now - job.since >= STUCK_AFTER and now <= job.until + STUCK_AFTER
        ]

    def next(self, after: float) -> float | None:
        """The monotonic second after `after` at which the first of them may be tried again."""
        return min((job.until for job in self._jobs.values() if job.until > after), default=None)
