"""What the dedicated session remembers between two polls: pure values, without a connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

#: Seconds for which a job whose lock is held elsewhere is deferred: doubled each time, from the
#: first to the second.
DEFERRED_FOR = (0.05, 1.0)


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


class DeferredJobs:
    """Jobs whose lock is held elsewhere: each is left alone for a while, longer each time, so that
    it does not crowd out the others.
    """

    def __init__(self) -> None:
        #: By job id: the monotonic second until which it is deferred, and for how long it was.
        self._jobs: dict[str, tuple[float, float]] = {}

    def add(self, job_id: str, now: float) -> None:
        """Its lock was held elsewhere at monotonic second `now`."""
        first, longest = DEFERRED_FOR
        wait = min(self._jobs.get(job_id, (0.0, first / 2))[1] * 2, longest)
        self._jobs[job_id] = (now + wait, wait)

    def remove(self, job_id: str) -> None:
        """Its lock was had."""
        self._jobs.pop(job_id, None)

    def waiting(self, now: float) -> list[str]:
        """Jobs that are still deferred at monotonic second `now`."""
        return [job for job, (until, _) in self._jobs.items() if until > now]

    def next(self, after: float) -> float | None:
        """The monotonic second after `after` at which the first of them may be tried again."""
        return min((until for until, _ in self._jobs.values() if until > after), default=None)
