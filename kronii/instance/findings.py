"""What a poll has found and an operator should know: said in the log, and counted."""

from __future__ import annotations

from kronii.database.polled import LostRun, PollResult
from kronii.instance.strangers import Strangers
from kronii.logs import Log
from kronii.web.metrics import Metrics

log = Log("kronii.scheduler")


class Findings:
    """Says what is new in each poll.  Main thread only."""

    def __init__(self, metrics: Metrics) -> None:
        """Nothing was found yet."""
        self.strangers = Strangers()
        self.row_strangers = Strangers("row is locked")
        self._metrics = metrics
        self._row_locked = False

    def say(self, result: PollResult) -> None:
        """The dead, the silent, and whoever is in the way."""
        self._metrics.count("runs_recovered", len(result.lost))
        for lost in result.lost:
            self._say_lost(lost)
        if result.ended:
            log.warning(
                "sessions ended: their instances have been silent for a whole lease",
                sessions=result.ended,
            )
        self.strangers.seen(result.strangers)
        self.row_strangers.seen(result.rows_held)
        self._say_renewed(result.renewed)

    @property
    def foreign(self) -> int:
        """Due jobs whose lock or row a stranger holds; read by any thread."""
        return self.strangers.count + self.row_strangers.count

    def _say_lost(self, lost: LostRun) -> None:
        log.warning("run lost: its instance died", job=lost.job, run=lost.run_id, node=lost.node)
        if lost.quarantined:
            self._metrics.count("jobs_quarantined")
            log.error(
                "job quarantined: it is paused until an operator resumes it",
                job=lost.job,
                run=lost.run_id,
            )

    def _say_renewed(self, renewed: bool | None) -> None:
        if renewed is None:
            return
        if renewed and self._row_locked:
            log.info("lease renewed again")
        elif not renewed and not self._row_locked:
            log.warning("lease not renewed: another session holds its row of nodes locked")
        self._row_locked = not renewed
