"""The jobs of this instance: what its file says, and how much of that the table agrees with.

jobs file ─▶ load ─▶ register ─▶ runnable jobs ◀─ refresh ─ what other instances registered
"""

from __future__ import annotations

import gc
from pathlib import Path

from kronii import definitions, ownership, schedule
from kronii.database import migrations, rights, schema, trust
from kronii.database.access import Database
from kronii.database.answers import answer_within
from kronii.database.connections import Connection
from kronii.database.registration import Registered, RunnableJobs, refresh, register
from kronii.database.session import Session
from kronii.definitions import Loaded
from kronii.errors import Busy
from kronii.logs import Log
from kronii.web.metrics import Metrics

log = Log("kronii.jobs")

#: Seconds for which an instance tries to upgrade a schema that is in use: then it works with what
#: is there, or tries again at its loop's next turn.
PATIENCE = 3.0


class Jobs:
    """The file in force, and the jobs that may be claimed here."""

    def __init__(self, file: Path, database: Database, metrics: Metrics, migrate: bool) -> None:
        """Load the file; `migrate`: whether the schema may be upgraded.

        Raises:
            DefinitionsError: it can't be read, or something in it is wrong.
        """
        self.file = file
        self._path = file.absolute()  # a python job may change the working directory
        self._database = database
        self._metrics = metrics
        self._migrate = migrate
        #: The file in force.  Written by the thread that registers it, read by any.
        self.loaded = self._load()
        #: What may be claimed; None until the first registration.  The main thread's.
        self.runnable: RunnableJobs | None = None
        #: True while a reload registers what it has read, until `runnable` is what it brought.
        self.reloading = False

    @property
    def registered(self) -> RunnableJobs:
        """What may be claimed, after the first registration."""
        assert self.runnable is not None  # registered before the session is opened
        return self.runnable

    def register(self) -> None:
        """Bring schema and table up to date, before the first claim on this copy of the database.

        Raises:
            DatabaseUnavailable, DatabaseError, ConfigError: nothing is registered.
        """
        with self._database.for_registration() as connection:
            trust.require(connection)
            with rights.all_named(connection):
                self._prepare_schema(connection)
            rights.require(connection)
            self.runnable = _said(register(connection, self.loaded.definitions)).runnable
        keep_out_of_collections()

    def _prepare_schema(self, connection: Connection) -> None:
        if not self._migrate:
            schema.require_usable(connection)
            return
        try:
            applied = migrations.migrate(connection, PATIENCE, _say_waiting)
        except Busy as error:
            if not schema.read(connection).usable:
                raise
            log.warning("the schema is used as it is", error=str(error))
            return
        if applied:
            log.info("schema upgraded", version=max(applied))

    def read(self) -> Loaded:
        """Load the file anew, under the zone rules that the host has by now; any thread.

        Raises:
            DefinitionsError: it can't be read, or something in it is wrong.
        """
        schedule.forget_zones()
        return self._load()

    def reload(self, loaded: Loaded) -> RunnableJobs:
        """Register what was read; any thread.  What it returns is to become `runnable`.

        Raises:
            DatabaseUnavailable, DatabaseError, ConfigError: the old file stays in force.
        """
        self.reloading = True
        with self._database.for_registration() as connection:
            trust.require(connection)
            registered = _said(register(connection, loaded.definitions))
        self._metrics.only(job.name for job in loaded.definitions)
        self.loaded = loaded
        gc.freeze()
        return registered.runnable

    def refresh(self, session: Session) -> None:
        """See what other instances have registered since (main thread)."""
        before = self.registered.superseded
        with answer_within(session.live, session.lease.timings.answer):
            self.runnable = refresh(session.live, self.registered)
        # What this instance itself has registered a moment ago is no other one's.
        if self.runnable.superseded != before and not self.reloading:
            log.info(
                "jobs that another instance's file defines otherwise are left to it",
                jobs=len(self.runnable.superseded),
            )

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


def _say_waiting(holder: str) -> None:
    log.info("the schema's upgrade waits", reason=holder)


def _said(registered: Registered) -> Registered:
    log.info(
        "jobs registered",
        jobs=len(registered.runnable.jobs),
        new=registered.new,
        changed=registered.changed,
        retired=registered.retired,
    )
    if registered.moved:
        log.info(
            "time zone rules have changed: next ticks were computed anew",
            jobs=registered.moved,
            tzdata=schedule.tzdata_version(),
        )
    return registered
