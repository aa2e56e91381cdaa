"""The guard, and what forked children let go of."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

CRASH = "tests/e2e/test_crash.py::test_"

MUTATIONS = (
    Mutation(
        "kill -9 leaves the job's processes running",
        "kronii/guard/process.py",
        "    end_work(board, mark)  #",
        "    #",
        (CRASH + "kill_9_with_a_live_peer",),
    ),
    Mutation(
        "a proven death is waited for like an unproven one",
        "sql/leases.sql",
        "SET died_at =",
        "SET version = version WHERE false RETURNING id), more AS (UPDATE nodes SET started_at =",
        (CRASH + "kill_9_with_a_live_peer",),
    ),
    Mutation(
        "a daemon that left its group outlives the instance",
        "kronii/guard/process.py",
        "while alive := [*members(groups), *marked(mark)]:",
        "while alive := [*members(groups)]:",
        ("tests/e2e/test_actions.py::test_daemons_do_not_outlive_what_started_them",),
    ),
    Mutation(
        "what a python job forks outlives the instance",
        "kronii/instance/threads.py",
        "        forks.let_go(self.guard.let_go, connections.let_go)\n",
        "",
        (
            "tests/e2e/test_windows.py::"
            "test_what_a_python_job_forks_or_starts_ends_with_its_instance",
        ),
    ),
    Mutation(
        "a stopped instance overlaps with its successor",
        "kronii/guard/process.py",
        "if overdue(board, timings, time.monotonic()):",
        "if False:",
        (
            "tests/chaos/test_host.py::test_a_stopped_instance_that_lost_its_session_does_not"
            "_overlap_with_its_successor",
        ),
    ),
    Mutation(
        "a dead guard stays dead",
        "kronii/guard/instance.py",
        "if self._process is None or self._process.poll() is None:",
        "if True:",
        (CRASH + "a_guard_that_is_killed_is_replaced",),
    ),
)
