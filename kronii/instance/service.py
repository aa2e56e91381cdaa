"""One instance from start to end: what is built and started, and stopped in the reverse order.

    port ─▶ guard ─▶ threads ─▶ [ ready ] ─▶ loop ... TERM ... drain ─▶ threads ─▶ guard ─▶ port

Parts are built before those that use them, so that each knows only what was there before it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from functools import partial

from kronii import __version__, logs
from kronii.actions.run import Run
from kronii.actions.shortage import is_shortage
from kronii.actions.streams import share_streams
from kronii.database.access import Database
from kronii.errors import KroniiError
from kronii.instance import capacity, systemd
from kronii.instance.leaving import leave
from kronii.instance.mainthread import MainThread
from kronii.instance.shared import Shared
from kronii.instance.threads import Threads
from kronii.logs import Log
from kronii.settings import DEFAULT_PORT, Settings
from kronii.web.listener import Listener
from kronii.web.pages import Pages

log = Log("kronii.service")


class Service:
    """One `kronii run`."""

    def __init__(self, settings: Settings) -> None:
        """Build every part; nothing is started yet but what refuses a bad set-up.

        Raises:
            ConfigError: the port, DATABASE_URL or the jobs file can't be used.
        """
        self.settings = settings
        self._listener = Listener(settings.metrics_host, settings.metrics_port)
        self._shared = Shared.of(settings, self._listener.port)
        self._threads = Threads(settings, self._shared)
        self._main = MainThread(settings, self._shared, self._threads)
        health, metrics = self._main.health, self._shared.metrics
        metrics.gauges = health.gauges()
        pages = Pages(metrics.registry, health.healthy, health.ready)
        serve = partial(self._listener.serve, pages.answer)
        self._web = self._shared.supervisor.thread("web", serve)

    def run(self) -> int:
        """Run until a signal says stop, or a thread fails; returns the exit status.

        Raises:
            ConfigError: the set-up is wrong; everything that was started is stopped.
        """
        with _short_at_start():
            self._start()
        supervisor, signals = self._shared.supervisor, self._main.signals
        try:
            self._main.loop.until(lambda: signals.stops or supervisor.failing(time.monotonic()))
            self._main.reload.stop()
            self._main.drain.run(self.settings.drain_timeout)
        except KroniiError as error:
            leave(self._stop(), error.exit_status, error)
            raise
        except BaseException as error:
            log.error("bug: the scheduling loop failed", exc_info=error)
            leave(self._stop(), 1)
            raise
        failed = supervisor.failures
        left = self._stop()
        signals.ignore()
        log.info("stopped", node=self._shared.node, failed=", ".join(failed) or None)
        leave(left, int(bool(failed)))
        return int(bool(failed))

    def _start(self) -> None:
        self._warn()
        self._web.start()
        self._main.signals.catch()
        self._threads.start()
        jobs, workers = len(self._shared.jobs.loaded.definitions), self._shared.inflight.count
        log.info(
            "started",
            version=__version__,
            node=self._shared.node,
            pid=os.getpid(),
            workers=workers,
            jobs=jobs,
            metrics=self._listener.url,
        )
        systemd.ready(f"{jobs} jobs, {workers} workers")

    def _warn(self) -> None:
        for room in capacity.rooms():
            if not room.suffices(self.settings.worker_count):
                log.warning(room.says(self.settings.worker_count))
        jobs = self._shared.jobs
        for problem in jobs.loaded.warnings:
            log.warning(problem.message, file=str(jobs.file), line=problem.line)
        for warning in self.settings.warnings:
            log.warning(warning)
        port = self._listener.port
        if self.settings.metrics_port is None and port != DEFAULT_PORT:
            log.warning(
                f"METRICS_PORT is not set and {DEFAULT_PORT} is taken: this instance uses the next"
                " free port",
                port=port,
            )

    def _stop(self) -> list[Run]:
        """Stop in the reverse order of the start; returns the runs that could not be ended."""
        self._shared.supervisor.stopping()
        written = self._threads.stop()
        left = self._shared.inflight.runs
        clean = written and not left and self._main.leave()
        self._main.session.drop()
        if not left:  # otherwise the end of the process tells the guard: work must not go on
            self._threads.guard.stop(clean)
        self._listener.stop()
        self._web.end()
        self._listener.close()
        return left


def run(settings: Settings) -> int:
    """Run an instance with `settings`; returns the exit status of the process.

    Raises:
        ConfigError: the set-up is wrong.
    """
    secrets = Database.of(settings).secrets
    logs.setup(settings.log_level, settings.log_format, secrets=secrets)
    share_streams()
    with _short_at_start():
        service = Service(settings)
    return service.run()


class Short(KroniiError):
    """This host has no thread, process or descriptor to give; trying again may help."""


@contextlib.contextmanager
def _short_at_start() -> Iterator[None]:
    """An instance that can't begin says what there was none of, and ends; it may be started anew.

    Raises:
        Short: in place of what the system said.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if is_shortage(error):
            raise Short(
                f"this host has no more to give, the instance can't start: {error}"
            ) from error
        raise
