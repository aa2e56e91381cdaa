"""The jobs of this instance: what its file says, and how much of that the table agrees with.

jobs file ─▶ load ─▶ record ─▶ join ─▶ register ─▶ runnable jobs ◀─ refresh ─ what others settled
"""

from __future__ import annotations

import gc
import threading
from pathlib import Path

from kronii import definitions, ownership, schedule
from kronii.database import rights, trust
from kronii.database.access import Database
from kronii.database.answers import answer_within
from kronii.database.holding import Holding
from kronii.database.registration import (
    Registered,
    RunnableJobs,
    record_file,
    refresh,
    register,
    settle_anew,
)
from kronii.database.session import Session
from kronii.database.settling import Settled
from kronii.definitions import Loaded
from kronii.instance.changes import Superseded, say_registered, say_settled
from kronii.instance.upgrade import bring_up_to_date
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
        self._database = database
        self._lease = lease
        self._metrics = metrics
        self._migrate = migrate
        #: The file in force.  Written by the thread that registers it, read by any.
        self.loaded = self._load()
        #: What may be claimed; None until the first registration.  The main thread's.
        self.runnable: RunnableJobs | None = None
        #: True while a reload registers what it has read, until `runnable` is what it brought.
        self.reloading = False
        #: Where the file is recorded: `kronii_files.id`; 0: nowhere yet.
        self.recorded = 0
        self._superseded = Superseded()
        #: One registration at a time: which file is held changes with it.
        self._registering = threading.Lock()

    @property
    def registered(self) -> RunnableJobs:
        """What may be claimed, after the first registration."""
        assert self.runnable is not None  # registered before anything is claimed
        return self.runnable

    @property
    def superseded(self) -> int:
        """Jobs of the file that are left to others, who hold a later definition; any thread."""
        return len(self.runnable.outdated) if self.runnable is not None else 0

    @property
    def holding(self) -> Holding:
        """What this instance holds."""
        timings = self._lease.timings
        return Holding(self._lease.identity, self._database.node, self.recorded, timings.length)

    # -- the table ---------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Bring the schema up to date and record the file, before this instance joins the others on
        this copy of the database.

        Raises:
            DatabaseUnavailable, DatabaseError, ConfigError: nothing is recorded.
        """
        with self._database.for_registration() as connection:
            trust.require(connection)
            with rights.all_named(connection):
                bring_up_to_date(connection, self._migrate, self._database.node)
            rights.require(connection)
            self.recorded = record_file(connection, self.loaded.definitions)

    def register(self) -> None:
        """Settle what is in force, once this instance is among the others: before its first claim
        on this copy of the database (main thread).

        Raises:
            DatabaseUnavailable, DatabaseError: nothing is registered.
        """
        with self._registering, self._database.for_registration() as connection:
            registered = register(connection, self.holding, self.loaded.definitions)
        say_registered(registered)
        self.take(registered.runnable)
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
        with self._registering:
            registered = self._reloaded(loaded)
        say_registered(registered)
        self._metrics.only(job.name for job in loaded.definitions)
        gc.freeze()
        return registered.runnable

    def _reloaded(self, loaded: Loaded) -> Registered:
        with self._database.for_registration() as connection:
            trust.require(connection)
            registered = register(connection, self.holding, loaded.definitions, reload=True)
        self.loaded, self.recorded = loaded, registered.file
        return registered

    def settle(self) -> Settled | None:
        """Settle what is in force when others have come or gone; None if this instance is taken for
        dead, or has not registered yet; any thread.

        Raises:
            DatabaseUnavailable, DatabaseError: it is to be tried again.
        """
        if self.runnable is None:
            return None
        with self._registering, self._database.for_registration() as connection:
            wanted = {job.name: job for job in self.loaded.definitions}
            settled = settle_anew(connection, self.holding, wanted)
        if settled is not None:
            say_settled(settled)
        return settled

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
