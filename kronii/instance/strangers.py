"""Sessions that are no instance's and hold the lock of a job: it runs nowhere, and here it is said.

Any role that may connect to the database can take an advisory lock (docs/operations.md says how to
forbid it).
"""

from __future__ import annotations

from collections.abc import Mapping

from kronii.database.holders import Holder
from kronii.logs import Log

log = Log("kronii.scheduler")


class Strangers:
    """Says each change once.  Written by the main thread; `count` is read by any."""

    def __init__(self, held: str = "lock is held") -> None:
        """Nobody has been seen; `held`: what of a job it is about."""
        self._held = held
        self._holders: dict[str, Holder] = {}

    @property
    def count(self) -> int:
        """Jobs of which a stranger holds it."""
        return len(self._holders)

    def seen(self, holders: Mapping[str, Holder] | None) -> None:
        """Who holds it of which due jobs, by name; None: nobody looked."""
        if holders is None:
            return
        before, self._holders = self._holders, dict(holders)
        for job, holder in holders.items():
            if before.get(job) != holder:
                log.error(
                    f"job not run: its {self._held} by a session that is no instance's",
                    job=job,
                    held_by=str(holder),
                )
        for job in before.keys() - holders.keys():
            log.info(f"the job's {self._held} by no stranger any more", job=job)
