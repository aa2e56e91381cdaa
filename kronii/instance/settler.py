"""Settling what is in force when instances with another file come or go.

A start and a reload settle by themselves.  Here is what nobody does who has gone: the sweeper's
thread compares the files that live instances hold with those for which the table was settled last.
"""

from __future__ import annotations

from kronii.database.store import Store
from kronii.errors import DatabaseError, DatabaseUnavailable
from kronii.instance.changes import say_settled
from kronii.instance.jobs import Jobs
from kronii.instance.repeats import Refusal
from kronii.logs import Log

log = Log("kronii.settler")


class Settler:
    """Looks, and settles where it has to be done.  The sweeper's thread only."""

    def __init__(self, store: Store, jobs: Jobs) -> None:
        """Nothing is known to be settled."""
        self._store = store
        self._jobs = jobs
        #: What was held when the table was last seen to agree.
        self._settled: object = None
        self._refusal = Refusal(log, "what is in force could not be settled")

    def look(self) -> None:
        """Settle if others hold something else than when this was done last."""
        if self._jobs.runnable is None:
            return
        try:
            self._look()
        except (DatabaseUnavailable, DatabaseError) as error:
            self._refusal.because(error)
            return
        self._refusal.over()

    def _look(self) -> None:
        registrar = self._jobs.registrar
        me = registrar.holding
        held = self._store.held(me)
        # Our own file, too: a reload settles with those who were there then, and the others may
        # since be those for which it was settled before.
        if not held.live or (me.file, held.here) == self._settled:
            return
        settled = registrar.settle()
        if settled is not None:
            say_settled(settled)
            self._settled = me.file, settled.held.here
