"""`python -m tests.chaos.mutations`: take each remedy out, and see its test fail.

A test of a fault is worth what it says when the remedy is missing.  Each mutation is a text of a
file replaced by another, in a copy of the tree; the named tests then have to fail there, and to
pass in the tree as it is (`make test`). Arguments name mutations; without any all are tried.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
#: What a copy needs.
PARTS = (
    "kronii",
    "sql",
    "tests",
    "deploy",
    "bench",
    "setup.cfg",
    "setup.py",
    "jobs.yaml",
    "README.md",
    "Makefile",
)
#: Seconds after which a test that hangs counts as one that failed.
LIMIT = 240


@dataclass(frozen=True)
class Mutation:
    """One remedy, and how it is taken out."""

    #: What goes wrong without it.
    fault: str
    file: str
    old: str
    new: str
    #: Tests that have to notice.
    tests: str


E2E, DB, CHAOS, UNIT = (
    "tests/e2e/test_",
    "tests/database/test_",
    "tests/chaos/test_faults.py::test_",
    "tests/unit/test_",
)

MUTATIONS = (
    Mutation(
        "a late outcome overwrites a successor's",
        "sql/queries.sql",
        "WHERE j.id = e.id AND j.run_id = e.run_id AND j.owner = e.owner",
        "WHERE j.id = e.id",
        DB + "store.py::test_a_late_outcome_is_refused",
    ),
    Mutation(
        "a job starts beside the holder of its lock",
        "sql/queries.sql",
        "WHERE tried.locked AND j.id = tried.id",
        "WHERE j.id = tried.id",
        DB + "session.py::test_a_lock_held_elsewhere_is_respected_and_nothing_is_left_behind",
    ),
    Mutation(
        "jobs that can't be locked starve the others",
        "kronii/database/session.py",
        "                self._pass_over(job_id)\n",
        "",
        DB + "session.py::test_fifty_held_jobs_do_not_starve_a_free_one",
    ),
    Mutation(
        "everybody is taken for dead after an outage",
        "kronii/database/session.py",
        "self.lease.timings.margin if since < self.lease.timings.margin else 0.0",
        "0.0",
        DB + "session.py::test_those_who_only_need_to_reconnect_get_a_moment",
    ),
    Mutation(
        "a claim whose answer was lost is stuck",
        "kronii/database/session.py",
        'self._named("disown", {"id": self.lease.identity, "runs": list(runs)})',
        "pass",
        DB + "session.py::test_a_claim_whose_answer_was_lost_is_free_again",
    ),
    Mutation(
        "locks are not taken back after a lost session",
        "kronii/database/session.py",
        "lost = self._retake(",
        "lost = set(",
        DB + "session.py::test_a_terminated_session_comes_back_with_its_locks",
    ),
    Mutation(
        "our half-open old session keeps the locks",
        "sql/queries.sql",
        "pg_terminate_backend(a.pid) AS done",
        "true AS done",
        DB + "session.py::test_a_half_open_session_is_ended_before_its_locks_are_taken_back",
    ),
    Mutation(
        "a new life begins beside the old one's work",
        "kronii/database/session.py",
        "        if self._works():\n",
        "        if False:\n",
        DB + "session.py::test_an_instance_that_was_taken_for_dead_stops_and_comes_back_as_another",
    ),
    Mutation(
        "a claim without a node row is lost for ever",
        "sql/queries.sql",
        "FROM nodes AS n WHERE n.id = j.owner), true)",
        "FROM nodes AS n WHERE n.id = j.owner), false)",
        DB + "session.py::test_a_claim_that_was_left_behind_is_found_though_its_instance_is_gone",
    ),
    Mutation(
        "a failover doubles a claim that was not replicated",
        "kronii/database/session.py",
        "self.quiet_until = time.monotonic() + self.lease.timings.length",
        "pass",
        DB + "session.py::test_after_a_failover_nothing_is_claimed_for_one_lease",
    ),
    Mutation(
        "an instance runs what its file does not say",
        "sql/queries.sql",
        "AND version <= %(version)s AND",
        "AND",
        DB
        + "registration.py::test_an_instance_that_has_not_looked_yet_claims_nothing_of_a_later"
        + "_registration",
    ),
    Mutation(
        "an outcome whose answer was lost counts as fenced",
        "kronii/instance/recorder.py",
        "return written | self._store.recorded(missing) if missing and asked_before else written",
        "return written",
        UNIT + "recorder.py",
    ),
    Mutation(
        "kill -9 leaves the job's processes running",
        "kronii/guard/survivors.py",
        "        shown = processes.all_are_shown()\n",
        "        return True\n        shown = processes.all_are_shown()\n",
        E2E + "crash.py::test_kill_9_with_a_live_peer",
    ),
    Mutation(
        "a proven death is waited for like an unproven one",
        "kronii/guard/lastwords.py",
        "SET died_at =",
        "SET version = version WHERE false RETURNING id), more AS (UPDATE nodes SET started_at =",
        E2E + "crash.py::test_kill_9_with_a_live_peer",
    ),
    Mutation(
        "a daemon that left its group outlives the instance",
        "kronii/guard/survivors.py",
        "        if process.kernel or process.started",
        "        if True or process.started",
        E2E + "actions.py::test_daemons_do_not_outlive_what_started_them",
    ),
    Mutation(
        "what a python job forks outlives the instance",
        "kronii/forks.py",
        "            die_with_parent(signal.SIGKILL, instance)",
        "            pass",
        UNIT + "forks.py",
    ),
    Mutation(
        "a child between fork and exec outlives the instance",
        "kronii/instance/threads.py",
        "        self.guard.mark()\n",
        "",
        E2E + "survivors.py::test_a_child_between_fork_and_exec_ends_with_its_instance",
    ),
    Mutation(
        "what hides its environment is taken for gone",
        "kronii/guard/survivors.py",
        "            return self._is_bound(process.pid)",
        "            return False",
        E2E + "survivors.py::test_what_hides_its_environment_in_a_session_of_its_own_ends_too",
    ),
    Mutation(
        "a child before its exec is taken for somebody else's",
        "kronii/guard/survivors.py",
        "unknown = not environment or environment == self._instance.environment",
        "unknown = False",
        UNIT + "survivors.py::test_a_child_before_its_exec_is_undecided_where_there_is_no_limit",
    ),
    Mutation(
        "one empty look is enough",
        "kronii/guard/survivors.py",
        "            if self._look():\n                return True\n",
        "            return True\n",
        UNIT
        + "survivors.py::test_what_shows_up_between_the_two_looks_is_ended_and_looked_for_anew",
    ),
    Mutation(
        "a process that is gone when it is read has left nobody",
        "kronii/guard/survivors.py",
        "        yield None\n",
        "",
        UNIT
        + "survivors.py::test_processes_that_start_faster_than_they_are_read_leave_it_unproven",
    ),
    Mutation(
        "where /proc is not mounted everybody is gone",
        "kronii/processes.py",
        "    if not _proc_is_ours():\n        return False\n",
        "    if not _proc_is_ours():\n        return True\n",
        E2E + "survivors.py::test_where_proc_is_not_mounted_the_lease_decides",
    ),
    Mutation(
        "a process whose main thread has ended is taken for gone",
        "kronii/processes.py",
        " and threads <= 1:",
        ":",
        UNIT + "survivors.py::test_what_shows_no_environment_is_known_by_its_limit",
    ),
    Mutation(
        "the guard spins on what it can't end",
        "kronii/guard/survivors.py",
        "time.sleep(self._backoff.failed(now))",
        "time.sleep(0.002)",
        UNIT + "survivors.py::test_what_may_not_be_signalled_is_waited_for_in_peace_until_the"
        "_lease_is_over",
    ),
    Mutation(
        "a fork that holds the pipe hides the death",
        "kronii/guard/process.py",
        "for fd in (pipe, instance.fileno()):",
        "for fd in (pipe,):",
        E2E + "survivors.py::test_a_fork_that_holds_the_guards_pipe_delays_nothing",
    ),
    Mutation(
        "a process that sheds both marks outlives the instance though it is in its control group",
        "kronii/guard/survivors.py",
        "            self._cgroup.kill()",
        "            pass",
        E2E + "survivors.py::test_in_a_delegated_control_group_nothing_escapes",
    ),
    Mutation(
        "a guard that dies goes unnoticed",
        "kronii/instance/revival.py",
        "        self._note()\n",
        "",
        E2E + "survivors.py::test_a_guard_that_dies_is_said_counted_shown_and_replaced",
    ),
    Mutation(
        "ignored SIGCHLD hides exit statuses",
        "kronii/commands/run.py",
        "    start_state.begin()\n",
        "",
        E2E + "start_state.py::test_outcomes_are_true_though_sigchld_was_ignored",
    ),
    Mutation(
        "blocked signals stay blocked",
        "kronii/instance/start_state.py",
        "    signal.pthread_sigmask(signal.SIG_SETMASK, [])",
        "    pass",
        UNIT + "start_state.py",
    ),
    Mutation(
        "number 1 collects zombies",
        "kronii/commands/run.py",
        "    ended = init.divide()",
        "    ended = None",
        E2E + "start_state.py::test_as_number_1_it_reaps_orphans_and_stops_in_good_order",
    ),
    Mutation(
        "a stopped instance overlaps with its successor",
        "kronii/guard/process.py",
        "if overdue(board, timings, time.monotonic()):",
        "if False:",
        CHAOS + "a_stopped_instance_that_lost_its_session_does_not_overlap_with_its_successor",
    ),
    Mutation(
        "a dead guard stays dead",
        "kronii/guard/instance.py",
        "if self._process is None or self.alive:",
        "if True:",
        E2E + "crash.py::test_a_guard_that_is_killed_is_replaced",
    ),
    Mutation(
        "a partition's work goes on beside the successor's",
        "kronii/instance/timekeeper.py",
        "        if now >= lease:\n            run.end(Outcome.INTERRUPTED)\n",
        "        if now >= lease:\n",
        CHAOS
        + "a_partition_longer_than_the_lease_ends_the_work_before_a_peer_begins "
        + UNIT
        + "timekeeper.py",
    ),
    Mutation(
        "a backend that answers nothing hangs the main thread",
        "kronii/instance/timekeeper.py",
        "        cut_overdue(now)\n",
        "",
        E2E + "windows.py::test_a_server_that_answers_nothing_hangs_nobody",
    ),
    Mutation(
        "a pooler breaks the session locks",
        "kronii/database/connections.py",
        "        raise ConfigError(POOLED)\n",
        "        pass\n",
        CHAOS + "a_pooler_is_refused_at_start_with_the_remedy",
    ),
    Mutation(
        "a read-only server is written to",
        "kronii/database/connections.py",
        "    if rows[0][2]:\n",
        "    if False:\n",
        E2E + "start.py::test_a_read_only_server_is_waited_for",
    ),
    Mutation(
        "a full server ends the instance",
        "kronii/database/connections.py",
        "        raise DatabaseUnavailable(_reason(error)) from error\n",
        "        raise\n",
        CHAOS + "a_server_without_a_free_connection",
    ),
    Mutation(
        "outcomes wait for minutes after an outage",
        "kronii/instance/service.py",
        "reconnect_timeout=POOL_PATIENCE, ",
        "",
        E2E + "windows.py::test_an_outage_ends_for_outcomes_too",
    ),
    Mutation(
        "a job that kills its node walks through the fleet",
        "sql/queries.sql",
        "deaths + 1 >= %(quarantine)s AS deadly",
        "false AS deadly",
        CHAOS + "a_job_that_kills_its_nodes_is_quarantined_until_it_is_resumed",
    ),
    Mutation(
        "a timeout ends the main process and misses its children",
        "kronii/actions/command.py",
        "    signal_group(group, number)\n",
        "    os.kill(group, number)\n",
        UNIT + "command.py::test_children_hear_the_term_themselves",
    ),
    Mutation(
        "a daemon that holds the output keeps the worker",
        "kronii/actions/command.py",
        "        exited = pidfd in ready\n",
        "        exited = closed\n",
        UNIT + "command.py",
    ),
    Mutation(
        "a function's BaseException is no failure of its own",
        "kronii/actions/python.py",
        "    except BaseException as error:\n",
        "    except Exception as error:\n",
        UNIT + "python.py",
    ),
    Mutation(
        "a full disk under the log stops the scheduler",
        "kronii/logs.py",
        "        except (OSError, ValueError):",
        "        except ZeroDivisionError:",
        CHAOS + "a_full_disk_under_the_log " + UNIT + "logs.py",
    ),
    Mutation(
        "a stopped reader of the log stops the scheduler",
        "kronii/logs.py",
        "if self._poll is not None and not self._poll.poll(",
        "if False and not self._poll.poll(",
        UNIT + "logs.py::test_a_reader_that_stopped_stops_nobody",
    ),
    Mutation(
        "a stopping instance claims on",
        "kronii/instance/scheduler.py",
        "        self._claiming = False\n",
        "        pass\n",
        E2E + "stop.py::test_a_signal_drains",
    ),
    Mutation(
        "a second signal is not heard",
        "kronii/instance/service.py",
        "self._loop_until_idle(timeout, lambda: self._stops > 1)",
        "self._loop_until_idle(timeout, lambda: False)",
        E2E + "stop.py::test_a_second_signal_ends_what_runs_and_a_peer_runs_it_again",
    ),
    Mutation(
        "a wrong file takes the old one's place",
        "kronii/definitions/loader.py",
        "    if checked.errors:\n        raise DefinitionsError(checked.errors)\n",
        "",
        E2E + "reload.py::test_a_wrong_file_changes_nothing",
    ),
)


def main() -> int:
    """Try mutations; 1 if one of them is not noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.mutations")
    parser.add_argument("words", nargs="*", help="parts of the faults' names (default: all)")
    words = parser.parse_args().words
    chosen = [m for m in MUTATIONS if not words or any(word in m.fault for word in words)]
    unnoticed = [mutation for mutation in chosen if not _noticed(mutation)]
    print(f"{len(chosen) - len(unnoticed)} passed, {len(unnoticed)} failed")
    return int(bool(unnoticed))


def _noticed(mutation: Mutation) -> bool:
    with tempfile.TemporaryDirectory(prefix="kronii-mutation-", dir="/var/tmp") as folder:
        tree = Path(folder)
        for part in PARTS:
            _copy(ROOT / part, tree / part)
        file = tree / mutation.file
        text = file.read_text("utf-8")
        if mutation.old not in text:
            print(
                f"STALE     {mutation.fault}: the remedy's text is not in {mutation.file}",
                flush=True,
            )
            return False
        file.write_text(text.replace(mutation.old, mutation.new), "utf-8")
        failed, words = _fails(tree, mutation.tests.split())
    print(f"{'noticed ' if failed else 'UNNOTICED'}  {mutation.fault}: {words}", flush=True)
    return failed


def _copy(origin: Path, target: Path) -> None:
    if origin.is_dir():
        shutil.copytree(origin, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(origin, target)


def _fails(tree: Path, tests: list[str]) -> tuple[bool, str]:
    """True if a test failed (not merely could not be collected), and pytest's last line."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "--no-header",
        *tests,
    ]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return True, f"hung for {LIMIT} s"
    if "Timeout (" in done.stdout + done.stderr:
        return True, "hung until pytest's own limit"
    lines = done.stdout.strip().splitlines() or ["nothing said"]
    failing = [line for line in lines if line.startswith("FAILED")]
    return done.returncode == 1 and bool(failing), (failing or lines)[-1][:140]


if __name__ == "__main__":
    sys.exit(main())
