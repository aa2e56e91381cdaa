"""The jobs of this instance: what its file says, and how much of that the table agrees with.

jobs file ─▶ load ─▶ record ─▶ join ─▶ register ─▶ runnable jobs ◀─ refresh ─ what others settled
"""

from __future__ import annotations

import gc
from pathlib import Path

from kronii import definitions, ownership, schedule
from kronii.database.access import Database
from kronii.database.answers import answer_within
from kronii.database.registration import RunnableJobs, refresh
from kronii.database.session import Session
from kronii.definitions import Loaded
from kronii.instance.changes import Superseded, say_registered
from kronii.instance.registrar import Registrar
from kronii.lease import Lease
from kronii.logs import Log
from kronii.web.metrics import Metrics

log = Log("kronii.jobs")


class Jobs:
    """The file in force, and the jobs that may be claimed here."""

    def __init__(
        self, file: Path, database: Database, lease: Lease, metrics: Metrics, migrate: bool
    ) -> None:
        """Load the file; `migrate`: whether the schema may be upgraded.

        Raises:
            DefinitionsError: it can't be read, or something in it is wrong.
        """
        self.file = file
        self._path = file.absolute()  # a python job may change the working directory
        self._metrics = metrics
        #: Writes what the file says, and what follows from it.
        self.registrar = Registrar(database, lease, migrate)
        #: The file in force.  Written by the thread that registers it, read by any.
        self.loaded = self._load()
        #: What may be claimed; None until the first registration.  The main thread's.
        self.runnable: RunnableJobs | None = None
        #: The copy of the database with which they are registered.
        self._copy = ""
        #: True while a reload registers what it has read, until `runnable` is what it brought.
        self.reloading = False
        self._superseded = Superseded()

    @property
    def registered(self) -> RunnableJobs:
        """What may be claimed, after the first registration."""
        assert self.runnable is not None  # registered before anything is claimed
        return self.runnable

    @property
    def superseded(self) -> int:
        """Jobs of the file that are left to others, who hold a later definition; any thread."""
        return len(self.runnable.outdated) if self.runnable is not None else 0

    # -- the table ---------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Bring the schema up to date and record the file, before this instance joins the others on
        this copy of the database; raises as `Registrar.prepare`.
        """
        self.registrar.prepare(self.loaded.definitions)

    def elsewhere(self, session: Session) -> bool:
        """True if this is another copy of the database than before: it may lack our file, or have
        another one under its number.
        """
        return self._copy not in ("", session.copy)

    def agree(self, session: Session) -> None:
        """Settle what is in force, once this instance is among the others, before its first claim
        on this copy of the database; from then on see what others have settled.  Main thread;
        raises as `Registrar.register`.
        """
        if self._copy == session.copy:
            self.refresh(session)
            return
        registered = self.registrar.register(self.loaded.definitions)
        say_registered(registered)
        self.take(registered.runnable)
        self._copy = session.copy
        keep_out_of_collections()

    def read(self) -> Loaded:
        """Load the file anew, under the zone rules that the host has by now; any thread.

        Raises:
            DefinitionsError: it can't be read, or something in it is wrong.
        """
        schedule.forget_zones()
        return self._load()

    def reload(self, loaded: Loaded) -> RunnableJobs:
        """Register what was read; any thread.  What it returns is to be taken.

        Raises:
            DatabaseUnavailable, DatabaseError, ConfigError: the old file stays in force.
        """
        self.reloading = True
        registered = self.registrar.register(loaded.definitions, reload=True)
        say_registered(registered)
        self._metrics.only(job.name for job in loaded.definitions)
        self.loaded = loaded
        gc.freeze()
        return registered.runnable

    # -- what may be claimed (main thread) ---------------------------------------------------------

    def refresh(self, session: Session) -> None:
        """See what others have registered since."""
        with answer_within(session.live, session.lease.timings.answer):
            runnable = refresh(session.live, self.registered)
        if self.reloading:  # what this instance itself has registered a moment ago is its own
            self.runnable = runnable
        else:
            self.take(runnable)

    def take(self, runnable: RunnableJobs) -> None:
        """From here on this may be claimed; says what is another instance's."""
        self.runnable = runnable
        self._superseded.see(runnable.outdated)

    def _load(self) -> Loaded:
        if odd := ownership.check(self._path, str(self.file)):
            log.warning(odd)
        return definitions.load(self._path, str(self.file))


def keep_out_of_collections() -> None:
    """Definitions stay: with 100,000 of them each full collection stopped every thread for 100 to
    300 ms.
    """
    gc.collect()
    gc.freeze()
