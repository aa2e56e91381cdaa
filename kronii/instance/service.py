"""One instance from start to end: what is started, in which order, and stopped in the reverse one.

    settings, definitions ─▶ port ─▶ guard ─▶ threads ─▶ [ ready ] ─▶ loop ... TERM ...
    drain ─▶ threads ─▶ guard ─▶ port

Signal handlers only set something and ring the bell; the main thread, between two steps of the
loop, acts.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

import psycopg
from psycopg_pool import ConnectionPool

from kronii import __version__, definitions, forks, logs
from kronii.actions import Host
from kronii.actions.output import share_streams
from kronii.actions.run import Run
from kronii.clock import DatabaseClock
from kronii.database import connections, migrations
from kronii.database.connections import PLANS, Connection, connect, prepare
from kronii.database.registration import Registered, RunnableJobs, register
from kronii.database.session import Session
from kronii.database.store import Store
from kronii.definitions import Loaded
from kronii.durations import format_duration
from kronii.errors import ConfigError, DatabaseUnavailable, KroniiError
from kronii.guard.instance import MARK, Guard
from kronii.instance import systemd
from kronii.instance.recorder import Recorder
from kronii.instance.report import RunReport
from kronii.instance.retention import Retention
from kronii.instance.scheduler import Parts, Scheduler
from kronii.instance.sweeper import Sweeper
from kronii.instance.timekeeper import KILL_AFTER, Timekeeper
from kronii.instance.wakeup import Wakeup
from kronii.instance.workers import Workers
from kronii.lease import Lease, LeaseTimings
from kronii.logs import Log
from kronii.model import Outcome
from kronii.settings import DEFAULT_PORT, Settings, default_node
from kronii.web.metrics import Metrics
from kronii.web.server import Web

log = Log("kronii.service")

#: Seconds from TERM to KILL for runs that a second signal ends.
HURRIED_KILL_AFTER = 2.0
#: Sessions of the pool: the recorder's, and one for retention, reloads and what else takes its
#: time.
POOL = 2
#: Seconds that the pool tries to connect, and that one of its users waits for it, before both give
#: up: left to itself it would wait longer and longer between its tries, up to minutes after the
#: server's return.
POOL_PATIENCE = 1.0
#: The loop counts as turning while its last step is younger than this many seconds (/healthz).
TURNING = 10.0
#: Seconds between two tries of a reload while the database is away.
RELOAD_AGAIN = 1.0
#: Seconds for which a stopping instance tries to get its last outcomes written while the database
#: is away.
LAST_WRITES = 10.0


class Service:
    """One `kronii run`."""

    def __init__(self, settings: Settings) -> None:
        if settings.database_url is None:
            raise ConfigError(
                "DATABASE_URL is not set: give the address of a PostgreSQL database"
                " (DATABASE_URL=postgresql://user@host/database), or try Kronii with `make run`,"
                " which brings a server of its own"
            )
        self.settings = settings
        self.wakeup = Wakeup()
        self._stops = 0
        self._reload_wanted = False
        self._reloading: threading.Thread | None = None
        self._reloaded: Registered | None = None
        self._watchdog = systemd.watchdog_interval(os.environ, os.getpid())
        self._draining = False
        self._ending = threading.Event()
        self._build()

    def _build(self) -> None:
        """Make every part; nothing is started yet but what refuses a bad set-up."""
        port = DEFAULT_PORT if self.settings.metrics_port is None else self.settings.metrics_port
        node = self.settings.node or default_node(port)
        self.settings = settings = replace(self.settings, node=node)
        url = settings.database_url or ""
        mark = str(uuid.uuid4())
        self._file = settings.jobs_file.absolute()  # a python job may change the working directory
        self.loaded = self._load()
        self.lease = Lease(LeaseTimings(settings.lease))
        self.clock = DatabaseClock()
        self.metrics = Metrics(node)
        self.guard = Guard(self.lease.timings, url, mark, settings.worker_count)
        self.pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            min_size=1,
            max_size=POOL,
            open=False,
            timeout=POOL_PATIENCE,
            reconnect_timeout=POOL_PATIENCE,
            name="kronii",
            configure=self._prepare,
            kwargs={
                "autocommit": True,
                "application_name": f"kronii {settings.node} pool"[:63],
                **connections.primary(url),
            },
            max_idle=60.0,
        )
        self.store = Store(self.pool, node)
        self.session = Session(settings, self.lease, self.clock, lambda: bool(self.workers.runs))
        self.recorder = Recorder(
            self.store, self.clock, lambda batch: self.scheduler.recorded(batch)
        )
        host = Host(node, mark, _private_environment(mark), self.guard, self._connect_for_job)
        self.workers = Workers(
            settings.worker_count,
            host,
            self.guard,
            self.lease,
            lambda run, result: self.scheduler.ended(run, result),
            lambda: self.scheduler.seat_free(),
        )
        self.timekeeper = Timekeeper(
            lambda: self.workers.runs, self.lease, lambda run: self.scheduler.timed_out(run)
        )
        self.retention = Retention(self.store, settings.history)
        self.sweeper = Sweeper(self.store, self.lease)
        self.web = Web(settings.metrics_host, port, self.metrics, self._health, self._ready)
        parts = Parts(
            self.session,
            self.workers,
            self.recorder,
            self.timekeeper,
            self.guard,
            self.metrics,
            self.clock,
            self.wakeup,
            RunReport(),
            self.sweeper,
        )
        self.scheduler = Scheduler(parts, self._register)
        self.metrics.gauges = self._gauges()

    # -- the whole life ----------------------------------------------------------------------------

    def run(self) -> int:
        """Run until a signal says stop; returns the exit status.

        Raises:
            ConfigError: the set-up is wrong; everything that was started is stopped.
        """
        self._start()
        try:
            self._loop(lambda: bool(self._stops))
            self._drain()
        except KroniiError:
            self._abandon(self._stop(), 1)
            raise
        except BaseException as error:
            log.error("bug: the scheduling loop failed", exc_info=error)
            self._abandon(self._stop(), 1)
            raise
        left = self._stop()
        self._ignore_signals()
        log.info("stopped", node=self.settings.node)
        self._abandon(left, 0)
        return 0

    def _start(self) -> None:
        for problem in self.loaded.warnings:
            log.warning(problem.message, file=str(self.settings.jobs_file), line=problem.line)
        for warning in self.settings.warnings:
            log.warning(warning)
        self.web.start()
        self.guard.start()
        forks.let_go(self.guard.let_go, connections.let_go)
        self._catch_signals()
        self.timekeeper.start()
        self.recorder.start()
        self.pool.open(wait=False)
        self.retention.start()
        self.sweeper.start()
        log.info(
            "started",
            version=__version__,
            node=self.settings.node,
            pid=os.getpid(),
            workers=self.settings.worker_count,
            jobs=len(self.loaded.definitions),
            metrics=self.web.url,
        )
        systemd.ready(f"{len(self.loaded.definitions)} jobs, {self.settings.worker_count} workers")

    def _loop(self, until: Callable[[], bool]) -> None:
        """Step and wait until `until()` is true."""
        while not until():
            self._turn()

    def _turn(self) -> None:
        if self._reload_wanted or self._reloaded is not None:
            self._reload()
        wait = self.scheduler.step()
        if self._watchdog is not None:
            systemd.watchdog()
            wait = min(wait, self._watchdog)
        self.scheduler.wait(wait)

    def _catch_signals(self) -> None:
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)

    @staticmethod
    def _ignore_signals() -> None:
        """From here on only the interpreter ends, and it would give our signals their deadly
        default back.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1
        self.wakeup.ring()

    def _on_reload(self, number: int, frame: FrameType | None) -> None:
        self._reload_wanted = True
        self.wakeup.ring()

    # -- the end -----------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Claim nothing more, let runs finish; then, or at a second signal, end them."""
        self._draining = True
        self._ending.set()
        self.scheduler.drain()
        systemd.stopping()
        timeout = self.settings.drain_timeout
        running = len(self.workers.runs)
        log.info("draining", running=running, timeout=format_duration(timeout))
        self._loop_until_idle(timeout, lambda: self._stops > 1)
        if self.workers.runs:
            self._end_runs(HURRIED_KILL_AFTER if self._stops > 1 else KILL_AFTER)
        self._loop_for(LAST_WRITES, lambda: not self.recorder.pending)
        self._loop_for(1.0, lambda: self.scheduler.unlocked)

    def _end_runs(self, grace: float) -> None:
        stops = self._stops
        for run in self.workers.runs:
            if run.end(Outcome.INTERRUPTED):
                log.warning(
                    "run interrupted: this instance stops",
                    job=run.claim.definition.name,
                    run=run.claim.run_id,
                )
        self._loop_until_idle(
            grace, lambda: self._stops > max(1, stops) and grace != HURRIED_KILL_AFTER
        )
        for run in self.workers.runs:
            run.kill()
        self._loop_until_idle(HURRIED_KILL_AFTER, lambda: False)

    def _loop_until_idle(self, seconds: float, hurry: Callable[[], bool]) -> None:
        self._loop_for(seconds, lambda: not self.workers.runs or hurry())

    def _loop_for(self, seconds: float, done: Callable[[], bool]) -> None:
        """Go on with the loop until `done()`, for `seconds` at the most."""
        give_up = time.monotonic() + seconds
        while not done() and (left := give_up - time.monotonic()) > 0:
            wait = self.scheduler.step()
            if self._watchdog is not None:
                systemd.watchdog()
            self.scheduler.wait(min(wait, left, 0.5))

    def _stop(self) -> list[Run]:
        """Stop in the reverse order of the start; returns the runs that could not be ended."""
        left = self.workers.runs
        self.workers.stop()
        self.sweeper.stop()
        self.retention.stop()
        self.timekeeper.stop()
        self._announce_interrupted(left)
        unwritten = self.recorder.stop(1.0)
        clean = not left and not unwritten and self._leave()
        self.session.drop()
        self.pool.close(timeout=1.0)
        if not left:
            self.guard.stop(
                clean
            )  # otherwise the end of the process tells it: work must not outlive its lease
        self.web.stop()
        if unwritten:
            log.warning(
                "outcomes could not be written: their ticks are run again elsewhere", runs=unwritten
            )
        return left

    def _announce_interrupted(self, left: list[Run]) -> None:
        """They end with the process, which is no death that should count against their jobs."""
        try:
            if left:
                self.store.announce(
                    Outcome.INTERRUPTED,
                    [(run.claim.run_id, "ended with its instance, which stopped") for run in left],
                )
        except KroniiError as error:
            log.warning("interrupted runs could not be recorded", runs=len(left), error=str(error))

    def _leave(self) -> bool:
        try:
            if self.session.connected:
                self.session.leave()
        except KroniiError as error:
            log.warning("the database went away before the end", error=str(error))
        return self.session.connected

    @staticmethod
    def _abandon(left: list[Run], status: int) -> None:
        """End the process if runs are left: a python function that does not return can't be ended
        otherwise.
        """
        if left:
            for run in left:
                log.warning(
                    "run ended with the process",
                    job=run.claim.definition.name,
                    run=run.claim.run_id,
                )
            sys.stderr.flush()
            os._exit(status)

    # -- the database ------------------------------------------------------------------------------

    def _prepare(self, connection: Connection) -> None:
        prepare(connection, {"statement_timeout": "30s", **PLANS}, self.lease.timings.network)

    def _connect_for_job(self, timeout: float) -> Connection:
        settings = {"statement_timeout": f"{max(1, round(timeout * 1000))}ms", "lock_timeout": "0"}
        return connect(
            self.settings.database_url or "",
            f"kronii {self.settings.node} job"[:63],
            settings,
            self.lease.timings.network,
        )

    def _register(self) -> RunnableJobs:
        """Bring schema and table up to date (main thread, before the first claim)."""
        with self._connect_to_register() as connection:
            applied = migrations.migrate(connection)
            if applied:
                log.info("schema upgraded", version=max(applied))
            runnable = self._registered(register(connection, self.loaded.definitions)).runnable
        gc.collect()
        # definitions stay: with 100,000 of them each full collection stopped every thread for 100
        # to 300 ms
        gc.freeze()
        return runnable

    def _load(self) -> Loaded:
        return definitions.load(self._file, str(self.settings.jobs_file))

    def _connect_to_register(self) -> Connection:
        """A large file takes its time; a registrar that hangs must not keep the others waiting for
        ever.
        """
        settings = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "60s"}
        return connect(self.settings.database_url or "", "kronii register", settings, 30.0)

    @staticmethod
    def _registered(registered: Registered) -> Registered:
        log.info(
            "jobs registered",
            jobs=len(registered.runnable.jobs),
            new=registered.new,
            changed=registered.changed,
            retired=registered.retired,
        )
        return registered

    # -- reload ------------------------------------------------------------------------------------

    def _reload(self) -> None:
        """Start a reload, or take over what one has brought."""
        if self._reloaded is not None and self._reloading is not None:
            self._reloading.join()
            self._reloading = None
            self.scheduler.runnable, self._reloaded = self._reloaded.runnable, None
            log.info("jobs file reloaded", jobs=len(self.loaded.definitions))
        if self._reload_wanted and self._reloading is None and self.scheduler.runnable is not None:
            self._reload_wanted = False
            self._reloading = threading.Thread(
                target=self._load_and_register, name="reload", daemon=True
            )
            self._reloading.start()

    def _load_and_register(self) -> None:
        """Beside the loop, which goes on with the old definitions until these are in force."""
        systemd.reloading()
        try:
            self._reloaded = self._patiently_registered()
            self.metrics.reloaded(True)
        except KroniiError as error:
            log.error(
                "jobs file not reloaded: the old definitions stay in force",
                file=str(self.settings.jobs_file),
                error=str(error),
            )
            self._give_up_reload()
        except Exception as error:
            log.error("bug: the reload failed, the old definitions stay in force", exc_info=error)
            self._give_up_reload()
        finally:
            systemd.ready(
                f"{len(self.loaded.definitions)} jobs, {self.settings.worker_count} workers"
            )
            self.wakeup.ring()

    def _give_up_reload(self) -> None:
        self.metrics.reloaded(False)
        self._reloading = None

    def _patiently_registered(self) -> Registered:
        """A database that is away, or busy with another registration, is waited for."""
        while True:
            try:
                return self._loaded_and_registered()
            except DatabaseUnavailable as error:
                log.warning("the reload waits for the database", error=str(error))
            if self._ending.wait(RELOAD_AGAIN):
                raise DatabaseUnavailable("this instance stops")

    def _loaded_and_registered(self) -> Registered:
        loaded = self._load()
        with self._connect_to_register() as connection:
            registered = self._registered(register(connection, loaded.definitions))
        self._note_change(loaded)
        gc.freeze()
        return registered

    def _note_change(self, loaded: Loaded) -> None:
        gone = {job.name for job in self.loaded.definitions} - {
            job.name for job in loaded.definitions
        }
        self.metrics.forget(sorted(gone))
        self.loaded = loaded

    # -- for the web's thread ----------------------------------------------------------------------

    def _health(self) -> tuple[bool, list[str]]:
        still = time.monotonic() - self.scheduler.turned_at
        return (
            (True, [])
            if still < TURNING
            else (False, [f"the scheduling loop has not turned for {still:.0f} s"])
        )

    def _ready(self) -> tuple[bool, list[str]]:
        reasons = [f"database away: {self.scheduler.outage}"] if self.scheduler.outage else []
        reasons += ["the lease is not held"] if not (reasons or self.lease.held) else []
        reasons += ["draining"] if self._draining else []
        return not reasons, reasons

    def _gauges(self) -> dict[str, tuple[str, Callable[[], float]]]:
        return {
            "workers": (
                "Runs that this instance can execute at the same time.",
                lambda: self.workers.count,
            ),
            "workers_busy": ("Workers that execute a run.", lambda: len(self.workers.runs)),
            "database_up": (
                "1 while the dedicated session is open.",
                lambda: int(self.session.connected),
            ),
            "lease_remaining_seconds": (
                "Until the work here would be ended.",
                lambda: self.lease.deadline - time.monotonic(),
            ),
            "jobs": ("Jobs of the file that is in force.", lambda: len(self.loaded.definitions)),
            "loop_age_seconds": (
                "Since the scheduling loop last turned.",
                lambda: time.monotonic() - self.scheduler.turned_at,
            ),
            "outcomes_unrecorded": (
                "Runs that have ended and wait for the database.",
                lambda: len(self.recorder.pending),
            ),
        }


def _private_environment(mark: str) -> dict[str, str]:
    """What every job's process sees of this instance's environment; our own becomes the same, for
    python jobs' sake.
    """
    for name in ("DATABASE_URL", *systemd.PRIVATE_VARIABLES):
        if name != "NOTIFY_SOCKET":  # ours to the end; `systemd` reads it
            os.environ.pop(name, None)
    os.environ[MARK] = mark  # whatever a python job starts carries it, too
    return {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}


def run(settings: Settings) -> int:
    """Run an instance with `settings`; returns the exit status of the process."""
    password = psycopg.conninfo.conninfo_to_dict(settings.database_url or "").get("password")
    logs.setup(settings.log_level, settings.log_format, secret=str(password) if password else None)
    share_streams()
    return Service(settings).run()
