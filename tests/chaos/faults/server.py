"""Faults of the server: its sessions, its processes, its being there at all."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from tests.chaos.faults.kind import Kind, Planned, Target
from tests.chaos.stage import Stage
from tests.support.record import now

#: Sessions of Kronii's that a fault may end.
SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'kronii%' ORDER BY"
    " backend_start, pid"
)


def end_all_sessions(stage: Stage) -> None:
    """End every session of Kronii's."""
    stage.fleet.query(f"SELECT pg_terminate_backend(pid) FROM ({SESSIONS}) AS sessions")


def end_one_session(stage: Stage, chance: float) -> None:
    """End one session of Kronii's, if there is any."""
    if pid := one_session(stage, chance):
        stage.fleet.query("SELECT pg_terminate_backend(%s)", pid)


def one_session(stage: Stage, chance: float) -> int:
    """The backend of one session of Kronii's; 0 if there is none."""
    pids = [int(row["pid"]) for row in stage.fleet.query(SESSIONS)]
    return pids[min(int(chance * len(pids)), len(pids) - 1)] if pids else 0


def terminate_one(stage: Stage, fault: Planned) -> None:
    """pg_terminate_backend of one session."""
    begin = now()
    end_one_session(stage, fault.chance)
    stage.note(fault.kind, begin)


def terminate_all(stage: Stage, fault: Planned) -> None:
    """pg_terminate_backend of all sessions."""
    begin = now()
    end_all_sessions(stage)
    stage.note(fault.kind, begin)


def restart_fast(stage: Stage, fault: Planned) -> None:
    """A restart in which transactions are rolled back."""
    begin = now()
    stage.fleet.server.restart("fast")
    stage.note(fault.kind, begin)


def restart_immediate(stage: Stage, fault: Planned) -> None:
    """A restart without a checkpoint: the server recovers from its log."""
    begin = now()
    stage.fleet.server.restart("immediate")
    stage.note(fault.kind, begin)


def kill_backend(stage: Stage, fault: Planned) -> None:
    """kill -9 of one session's process: the server ends all others and recovers."""
    begin = now()
    if pid := one_session(stage, fault.chance):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    stage.fleet.query("SELECT 1")
    stage.note(fault.kind, begin)


def kill_postmaster(stage: Stage, fault: Planned) -> None:
    """kill -9 of the postmaster."""
    begin = now()
    stage.fleet.server.kill()
    stage.fleet.server.start()
    stage.note(fault.kind, begin)


def down(stage: Stage, fault: Planned) -> None:
    """The server stays away for a while."""
    begin = now()
    stage.fleet.server.stop("fast" if fault.chance < 0.5 else "immediate")

    def up() -> None:
        stage.fleet.server.start()

    stage.undo(fault.kind, begin, begin + fault.length, up)


def deaf(stage: Stage, fault: Planned) -> None:
    """Who connects gets no answer at all, as behind a firewall that drops packets; sessions that
    are there go on, but for one that ends.
    """
    begin = now()
    stage.fleet.query("SELECT 1")  # the harness's own session: it would get none, either
    _, postmaster = stage.fleet.server.pids()
    os.kill(postmaster, signal.SIGSTOP)
    end_one_session(stage, fault.chance)
    stage.undo(fault.kind, begin, begin + fault.length, lambda: os.kill(postmaster, signal.SIGCONT))


SERVER = Target.SERVER
FAULTS = (
    Kind("terminate_one", 3, terminate_one, SERVER),
    Kind("terminate_all", 1, terminate_all, SERVER),
    Kind("restart_fast", 1, restart_fast, SERVER),
    Kind("restart_immediate", 1, restart_immediate, SERVER),
    Kind("kill_backend", 1, kill_backend, SERVER),
    Kind("kill_postmaster", 1, kill_postmaster, SERVER),
    Kind("deaf", 1, deaf, SERVER, lambda lease: (0.5, lease * 1.5)),
    Kind("down", 1, down, SERVER, lambda lease: (0.5, lease * 2)),
)
