"""Making the planned faults, keeping a log of what was really done, and gathering what the checker
needs.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from tests.chaos.checker import Counted, Exit, Fault, History, Run, Scrape
from tests.chaos.faults import Planned
from tests.chaos.fleet import Fleet, Place, wait_until
from tests.chaos.processes import command, marked, usage, variable
from tests.chaos.record import now

#: Seconds between two turns of the harness, and the delay of one that says that the machine itself
#: stood still.
TURN, STALL = 0.02, 0.75
#: Seconds within which a healed fleet must have worked off every tick, and be well.
RECOVERS_IN = 60.0
#: Sessions of Kronii's that a fault may end.
SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'kronii%' ORDER BY"
    " backend_start, pid"
)


@dataclass
class Findings:
    """What a run has brought."""

    faults: list[Fault] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    scrapes: list[Scrape] = field(default_factory=list)
    excused: list[tuple[str, datetime, datetime]] = field(default_factory=list)
    found: dict[str, list[str]] = field(default_factory=dict)
    counted: dict[str, Counted] = field(default_factory=dict)


class World:
    """A fleet, and the faults that it goes through."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.findings = Findings()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._scraper = threading.Thread(target=self._scrape, name="scraper", daemon=True)
        self._over = threading.Event()
        #: Puts a place's cable in or pulls it.
        self.plug: Callable[[Place, bool], None] = lambda place, whole: None
        self._holders: list[psycopg.Connection[Any]] = []
        self._restarting = True
        self._first = self._clock()

    # -- the run -----------------------------------------------------------------------------------

    def run(self, faults: Sequence[Planned], seconds: float) -> History:
        """Make the faults; return what was found when it is all over."""
        self.begin()
        start = now()
        for fault in faults:
            self._at(start + fault.at, lambda fault=fault: self._make(fault))  # type: ignore[misc]
        self.go_on(lambda: now() > start + seconds)
        return self.finish()

    def begin(self) -> None:
        """Start the fleet and wait until it is ready."""
        for place in self.fleet.places:
            place.write("A")
            place.start()
        if not wait_until(self.all_ready, 30.0):
            raise RuntimeError(f"the fleet did not start: see {self.fleet.directory}")
        self._first = self._clock()
        self._scraper.start()

    def all_ready(self) -> bool:
        """True while every place has an instance that is ready."""
        return all(place.ready() for place in self.fleet.places)

    def finish(self) -> History:
        """Heal, let the fleet work off what is due, stop it, and return what was found."""
        self._heal()
        last = self._clock()
        self._recover(last)
        self._pause()
        self._count()
        self._over.set()
        self._stop()
        return self._history(self._first, last)

    def go_on(self, until: Callable[[], bool]) -> None:
        """Turn until `until()`: do what is due, see who has ended, start them again."""
        turned = now()
        while not until():
            while self._agenda and self._agenda[0][0] <= now():
                heapq.heappop(self._agenda)[2]()
                turned = now()
            self._look()
            time.sleep(TURN)
            if now() - turned > STALL:
                self._note("machine", turned)
            turned = now()

    def _look(self) -> None:
        for place in self.fleet.places:
            if found := place.ended():
                self.findings.exits.append(found)
            if not place.alive and self._restarting and now() >= place.start_at:
                place.write(place.version)
                place.start()

    def _at(self, moment: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._number), do))

    def _note(self, kind: str, begin: float, node: str = "*", end: float | None = None) -> None:
        self.findings.faults.append(Fault(kind, begin, now() if end is None else end, node))

    @staticmethod
    def _clock() -> datetime:
        """The server's clock, which is this host's: asked for while the server may be away."""
        return datetime.now(UTC).replace(tzinfo=None)

    # -- faults ------------------------------------------------------------------------------------

    def _make(self, fault: Planned) -> None:
        place = self.fleet.places[fault.target] if fault.target >= 0 else None
        method = getattr(self, "_" + fault.kind)
        if place is not None and not fault.kind.startswith("reload"):
            if place.alive:
                method(fault, place)
        elif fault.kind.startswith("reload"):
            method(fault, [place] if place else self.fleet.places)
        else:
            method(fault)

    def _kill(self, fault: Planned, place: Place) -> None:
        self.kill(place, fault.length)

    def kill(self, place: Place, pause: float) -> float:
        """kill -9; it is started again after `pause`.  Returns the moment."""
        begin = now()
        place.signal(signal.SIGKILL, "kill")
        place.pause = pause
        self._note("kill", begin, place.node)
        return begin

    def _kill_host(self, fault: Planned, place: Place) -> None:
        """As if the host had lost its power: guard, instance and all their work at once; nobody can
        say so.
        """
        begin = now()
        with suppress(ProcessLookupError):
            if guard := place.guard:
                os.kill(guard, signal.SIGKILL)
        place.signal(signal.SIGKILL, "kill")
        place.pause = fault.length
        while pids := [
            pid for pid in marked(self.fleet.token) if variable(pid, "KRONII_NODE") == place.node
        ]:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._note(fault.kind, begin, place.node)

    def _kill_guard(self, fault: Planned, place: Place) -> None:
        begin = now()
        with suppress(ProcessLookupError):
            if guard := place.guard:
                os.kill(guard, signal.SIGKILL)
                self._note("kill_guard", begin, place.node)

    def _term(self, fault: Planned, place: Place, kind: str = "term") -> None:
        begin, life = now(), place.life
        place.signal(signal.SIGTERM, "term" if place.url else "early term")
        place.signal(signal.SIGCONT)
        node = place.node

        def over() -> None:
            if place.alive and place.life == life:
                self._at(now() + 0.05, over)
            else:
                self._note(kind, begin, node)

        over()

    def _term_twice(self, fault: Planned, place: Place) -> None:
        life = place.life
        self._term(fault, place, "term_twice")
        self._at(
            now() + fault.length,
            lambda: place.signal(signal.SIGTERM) if place.life == life else None,
        )

    def _stop_short(self, fault: Planned, place: Place) -> None:
        begin, life, node = now(), place.life, place.node
        place.signal(signal.SIGSTOP)

        def go_on() -> None:
            if place.life == life:
                place.signal(signal.SIGCONT)
            self._note(fault.kind, begin, node)

        self._at(now() + fault.length, go_on)

    _stop_long = _stop_short

    def _terminate_one(self, fault: Planned) -> None:
        begin = now()
        pids = [row["pid"] for row in self.fleet.query(SESSIONS)]
        if pids:
            self.fleet.query("SELECT pg_terminate_backend(%s)", pids[int(fault.chance * len(pids))])
        self._note(fault.kind, begin)

    def _terminate_all(self, fault: Planned) -> None:
        begin = now()
        self.fleet.query(f"SELECT pg_terminate_backend(pid) FROM ({SESSIONS}) AS sessions")
        self._note(fault.kind, begin)

    def _restart_fast(self, fault: Planned) -> None:
        begin = now()
        self.fleet.server.restart("fast")
        self._note(fault.kind, begin)

    def _restart_immediate(self, fault: Planned) -> None:
        begin = now()
        self.fleet.server.restart("immediate")
        self._note(fault.kind, begin)

    def _kill_postmaster(self, fault: Planned) -> None:
        begin = now()
        self.fleet.server.kill()
        self.fleet.server.start()
        self._note(fault.kind, begin)

    def _kill_backend(self, fault: Planned) -> None:
        begin = now()
        pids = [row["pid"] for row in self.fleet.query(SESSIONS)]
        if pids:
            with suppress(ProcessLookupError):
                os.kill(pids[int(fault.chance * len(pids))], signal.SIGKILL)
        self.fleet.query("SELECT 1")
        self._note(fault.kind, begin)

    def _down(self, fault: Planned) -> None:
        begin = now()
        self.fleet.server.stop("fast" if fault.chance < 0.5 else "immediate")

        def up() -> None:
            self.fleet.server.start()
            self._note(fault.kind, begin)

        self._at(begin + fault.length, up)

    def _full(self, fault: Planned) -> None:
        """Take every connection that is left, and let two of Kronii's sessions feel it."""
        begin = now()
        self.fleet.query("SELECT 1")  # the harness's own session: a full server would give it none
        for chance in (fault.chance, 1 - fault.chance):
            self._fill()
            pids = [row["pid"] for row in self.fleet.query(SESSIONS)]
            if pids:
                self.fleet.query(
                    "SELECT pg_terminate_backend(%s)",
                    pids[min(int(chance * len(pids)), len(pids) - 1)],
                )
        self._fill()
        self._at(begin + fault.length, lambda: self._release(fault.kind, begin))

    def _fill(self) -> None:
        for _ in range(100):
            try:
                self._holders.append(
                    psycopg.connect(
                        self.fleet.url, autocommit=True, application_name="chaos holder"
                    )
                )
            except psycopg.OperationalError:
                return

    def _hold(self, fault: Planned, statement: str) -> None:
        begin = now()
        options = "-c lock_timeout=3000 -c statement_timeout=5000"
        with suppress(psycopg.Error):
            self._holders.append(
                psycopg.connect(self.fleet.url, application_name="chaos holder", options=options)
            )
            self._holders[-1].execute(statement.encode())
        self._at(now() + fault.length, lambda: self._release(fault.kind, begin))

    def _hold_jobs(self, fault: Planned) -> None:
        part = "" if fault.chance < 0.5 else " WHERE name LIKE '%y%'"
        self._hold(fault, f"SELECT FROM jobs{part} FOR UPDATE")

    def _hold_nodes(self, fault: Planned) -> None:
        self._hold(
            fault, "LOCK TABLE nodes" if fault.chance < 0.5 else "SELECT FROM nodes FOR UPDATE"
        )

    def _release(self, kind: str, begin: float) -> None:
        holders, self._holders = self._holders, []
        for holder in holders:
            holder.close()
        self._note(kind, begin)

    def _read_only(self, fault: Planned) -> None:
        begin = now()
        self._set_read_only("SET default_transaction_read_only = on")
        self.fleet.query(f"SELECT pg_terminate_backend(pid) FROM ({SESSIONS}) AS sessions")

        def writable() -> None:
            self._set_read_only("RESET default_transaction_read_only")
            self._note(fault.kind, begin)

        self._at(begin + fault.length, writable)

    def _set_read_only(self, what: str) -> None:
        self.fleet.query(f"ALTER SYSTEM {what}")
        self.fleet.query("SELECT pg_reload_conf()")

    # -- the network -------------------------------------------------------------------------------

    def _cut_short(self, fault: Planned, place: Place) -> None:
        self._cut(fault, [place], place.node)

    _cut_long = _cut_short

    def _cut_all(self, fault: Planned) -> None:
        self._cut(fault, self.fleet.places, "*")

    def _cut_and_kill(self, fault: Planned, place: Place) -> None:
        """Its guard can't say that it is dead: the lease decides."""
        self._cut(fault, [place], place.node)
        place.signal(signal.SIGKILL, "kill")
        place.pause = fault.length + 0.5

    def _cut(self, fault: Planned, places: Sequence[Place], node: str) -> None:
        begin = now()
        for place in places:
            self.plug(place, False)

        def mend() -> None:
            for place in places:
                self.plug(place, True)
            self._note(fault.kind, begin, node)

        self._at(begin + fault.length, mend)

    # -- the jobs file -----------------------------------------------------------------------------

    def _reload_changed(self, fault: Planned, places: Sequence[Place]) -> None:
        """Another version: beside the first on the other instances, or everywhere."""
        begin, since = now(), self._clock()
        self._rewrite(places, "B")

        def back() -> None:
            self._rewrite(places, "A")
            self._excuse(since)
            self._note(fault.kind, begin)

        self._at(begin + fault.length, back)

    def _excuse(self, since: datetime) -> None:
        """Ticks of jobs that were retired meanwhile are nobody's; the present life registers within
        seconds.
        """
        until = self._clock() + timedelta(seconds=20)
        self.findings.excused += [
            (job.name, since - timedelta(seconds=job.period), until)
            for job in self.fleet.jobs.values()
            if job.versions != "AB"
        ]

    def _rewrite(self, places: Sequence[Place], version: str) -> None:
        for place in places:
            place.write(version)
            self._hup(place)

    def _hup(self, place: Place) -> None:
        """A HUP before the handler is there would end it, as it ends every program."""
        if place.alive and place.url:
            place.signal(signal.SIGHUP)

    def _reload_broken(self, fault: Planned, places: Sequence[Place]) -> None:
        self._spoil(
            fault, places, "jobs:\n  - name: broken\n    cron: [every, day]\n    comand: x\n"
        )

    def _reload_empty(self, fault: Planned, places: Sequence[Place]) -> None:
        self._spoil(fault, places, "" if fault.chance < 0.5 else "jobs: []\n")

    def _spoil(self, fault: Planned, places: Sequence[Place], text: str) -> None:
        begin = now()
        for place in places:
            place.put(text)
            self._hup(place)

        def back() -> None:
            for place in places:
                place.write(place.version)
                self._hup(place)
            self._note(fault.kind, begin)

        self._at(begin + fault.length, back)

    # -- the end -----------------------------------------------------------------------------------

    def _heal(self) -> None:
        """Undo what is still to be undone, and have everybody live."""
        self.go_on(lambda: not self._agenda)
        for place in self.fleet.places:
            place.signal(signal.SIGCONT)
        self.go_on(lambda: all(place.alive for place in self.fleet.places))

    def _recover(self, last: datetime) -> None:
        """Every tick up to `last` is worked off, and the instances are well, within a bounded
        time.
        """
        statement = (
            "SELECT name FROM jobs WHERE retired_at IS NULL AND next_run <= %s ORDER BY name"
        )
        give_up = now() + RECOVERS_IN
        self.go_on(lambda: now() > give_up or not self.fleet.query(statement, last))
        left = [row["name"] for row in self.fleet.query(statement, last)]
        unwell: list[str] = []
        if left:
            unwell.append(
                f"{RECOVERS_IN:g} s after the last fault these still had ticks to work off:"
                f" {', '.join(left)}"
            )
        self.go_on(lambda: now() > give_up or self.all_ready())
        for place in self.fleet.places:
            if not place.ready():
                unwell.append(f"{place.node} is not ready after {RECOVERS_IN:g} s")
        self.findings.found["health"] = unwell
        self.findings.found["leaks"] = [
            leak for place in self.fleet.places for leak in self._leaks(place)
        ]

    def _leaks(self, place: Place) -> list[str]:
        used = usage(place.pid)
        limits = {"threads": self.fleet.workers + 12, "fds": 40 + 4 * self.fleet.workers}
        leaks = [
            f"{place.node} has {used[name]} {name}"
            for name, limit in limits.items()
            if used[name] > limit
        ]
        rows = self.fleet.query(
            "SELECT application_name AS name, count(*) FROM pg_stat_activity"
            " WHERE application_name LIKE %s GROUP BY 1",
            f"kronii {place.node} pool",
        )
        return leaks + [
            f"{place.node} has {row['count']} sessions in its pool"
            for row in rows
            if row["count"] > 2
        ]

    def _pause(self) -> None:
        """Let nothing more begin, so that what is counted stands still."""
        self._restarting = False
        self.fleet.query(
            "UPDATE jobs SET paused_at = clock_timestamp() AT TIME ZONE 'UTC' WHERE paused_at IS"
            " NULL AND retired_at IS NULL"
        )
        give_up = now() + 20.0
        owned = "SELECT 1 FROM jobs WHERE owner IS NOT NULL"
        self.go_on(lambda: now() > give_up or not self.fleet.query(owned))
        quiet = (
            "SELECT 1 FROM nodes WHERE lease_until < clock_timestamp() AT TIME ZONE 'UTC' OR"
            " died_at IS NOT NULL"
        )
        self.go_on(lambda: now() > give_up or not self.fleet.query(quiet))

    def _count(self) -> None:
        """What the living have counted, once nothing runs any more."""
        for place in self.fleet.living():
            metrics = wait_until(lambda place=place: self._settled(place), 5.0) or place.metrics()  # type: ignore[misc]
            outcomes: Counter[str] = Counter()
            for series, value in metrics.items():
                labels = re.fullmatch(
                    r'kronii_runs_total\{job_name="(.*)",outcome="(.*)"\}', series
                )
                if labels and self.fleet.jobs[labels[1]].versions == "AB":
                    outcomes[labels[2]] += int(value)
            success, failed, running = (
                metrics[f"scheduler_jobs_{name}"] for name in ("success", "failed", "running")
            )
            self.findings.counted[place.node] = Counted(success, failed, running, outcomes)

    @staticmethod
    def _settled(place: Place) -> dict[str, float] | None:
        metrics = place.metrics()
        return metrics if metrics["scheduler_jobs_running"] == 0 else None

    def _stop(self) -> None:
        """TERM to all; afterwards nothing is left anywhere."""
        for place in self.fleet.living():
            place.signal(signal.SIGTERM, "term")
        give_up = now() + 30.0
        self.go_on(lambda: now() > give_up or not self.fleet.living())
        self.findings.exits += [
            Exit(place.node, 999, now(), "term, and went on for 30 s")
            for place in self.fleet.living()
        ]
        self.findings.found["database"] = self._left_in_database()
        wait_until(lambda: not [*marked(self.fleet.token)], 5.0)
        self.findings.found["processes"] = [
            f"{pid}: {command(pid)}" for pid in marked(self.fleet.token)
        ]

    def _left_in_database(self) -> list[str]:
        wait_until(lambda: not self._leftovers(), 5.0)
        return self._leftovers()

    def _leftovers(self) -> list[str]:
        questions = {
            "row in nodes": "SELECT name || ' ' || id AS what FROM nodes",
            "advisory lock": (
                "SELECT l.objid || ' of ' || l.pid AS what FROM pg_locks AS l WHERE locktype ="
                " 'advisory'"
            ),
            "session": (
                "SELECT application_name || ': ' || query AS what FROM pg_stat_activity WHERE"
                " backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ),
            "claim": "SELECT name AS what FROM jobs WHERE owner IS NOT NULL",
            "running run": (
                "SELECT id || ' on ' || node AS what FROM runs WHERE outcome = 'running'"
            ),
        }
        return [
            f"{kind}: {row['what']}"
            for kind, query in questions.items()
            for row in self.fleet.query(query)
        ]

    # -- what was found ----------------------------------------------------------------------------

    def _scrape(self) -> None:
        while not self._over.wait(1.0):
            for place in self.fleet.living():
                with suppress(OSError, ValueError, KeyError):
                    self.findings.scrapes.append(self._scraped(place))

    @staticmethod
    def _scraped(place: Place) -> Scrape:
        node, metrics = place.node, place.metrics()
        names = ("total", "running", "failed", "success")
        return Scrape(node, now(), *(metrics[f"scheduler_jobs_{name}"] for name in names))

    def _history(self, first: datetime, last: datetime) -> History:
        rows = self.fleet.query(
            "SELECT r.id, j.name AS job, r.scheduled_for AS tick, r.attempt, r.outcome,"
            " COALESCE(r.node, '') AS node, r.trigger, r.exit_code, r.error, r.missed FROM runs AS"
            " r JOIN jobs AS j ON j.id = r.job_id ORDER BY r.id"
        )
        history = History(
            self.fleet.jobs,
            first,
            last,
            self.fleet.lines(),
            [Run(**row) for row in rows],
            self.findings.faults,
            self.findings.exits,
            self.findings.scrapes,
            self._excuses(first, last),
            self.fleet.lease,
            self.findings.counted,
            self.findings.found,
        )
        self._keep(history)
        return history

    def _excuses(self, first: datetime, last: datetime) -> list[tuple[str, datetime, datetime]]:
        return [*self.findings.excused, ("only_in_b", first, last)]

    def _keep(self, history: History) -> None:
        """The evidence, beside the record and the logs."""
        place = self.fleet.directory
        (place / "faults.json").write_text(
            json.dumps([asdict(fault) for fault in history.faults], indent=1)
        )
        (place / "exits.json").write_text(
            json.dumps([asdict(found) for found in history.exits], indent=1)
        )
        (place / "runs.json").write_text(
            json.dumps([asdict(run) for run in history.runs], default=str, indent=0)
        )
