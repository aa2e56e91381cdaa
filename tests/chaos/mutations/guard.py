"""The guard, and what forked children let go of."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

CRASH = "tests/e2e/test_crash.py::test_"

MUTATIONS = (
    Mutation(
        "a proven death is waited for like an unproven one",
        "sql/leases.sql",
        "UPDATE nodes AS n SET died_at = @now_utc FROM mine WHERE",
        "UPDATE nodes AS n SET version = n.version FROM mine WHERE false AND",
        (CRASH + "kill_9_with_a_live_peer",),
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
        "kill -9 leaves the job's processes running",
        "kronii/guard/survivors.py",
        "        shown = processes.all_are_shown()\n",
        "        return True\n        shown = processes.all_are_shown()\n",
        ("tests/e2e/test_crash.py::test_kill_9_with_a_live_peer",),
    ),
    Mutation(
        "a daemon that left its group outlives the instance",
        "kronii/guard/survivors.py",
        "        if process.kernel or process.started",
        "        if True or process.started",
        ("tests/e2e/test_actions.py::test_daemons_do_not_outlive_what_started_them",),
    ),
    Mutation(
        "what a python job forks outlives the instance",
        "kronii/forks.py",
        "            die_with_parent(signal.SIGKILL, instance)",
        "            pass",
        (
            "tests/unit/test_forks.py::"
            "test_a_child_gives_up_what_it_inherits_and_dies_with_its_parent",
        ),
    ),
    Mutation(
        "a child between fork and exec outlives the instance",
        "kronii/instance/threads.py",
        "        self.guard.mark()\n",
        "",
        ("tests/e2e/test_survivors.py::test_a_child_between_fork_and_exec_ends_with_its_instance",),
    ),
    Mutation(
        "what hides its environment is taken for gone",
        "kronii/guard/survivors.py",
        "            return self._is_bound(process.pid)",
        "            return False",
        (
            "tests/e2e/test_survivors.py::"
            "test_what_hides_its_environment_in_a_session_of_its_own_ends_too",
        ),
    ),
    Mutation(
        "a child before its exec is taken for somebody else's",
        "kronii/guard/survivors.py",
        "unknown = not environment or environment == self._instance.environment",
        "unknown = False",
        (
            "tests/unit/test_survivors.py::"
            "test_a_child_before_its_exec_is_undecided_where_there_is_no_limit",
        ),
    ),
    Mutation(
        "one empty look is enough",
        "kronii/guard/survivors.py",
        "            if self._look():\n                return True\n",
        "            return True\n",
        (
            "tests/unit/test_survivors.py::"
            "test_what_shows_up_between_the_two_looks_is_ended_and_looked_for_anew",
        ),
    ),
    Mutation(
        "a process that is gone when it is read has left nobody",
        "kronii/guard/survivors.py",
        "            look.missed = True\n",
        "            pass\n",
        (
            "tests/unit/test_survivors.py::"
            "test_processes_that_end_faster_than_they_are_read_leave_it_unproven",
        ),
    ),
    Mutation(
        "a busy host keeps every death unproven",
        "kronii/guard/survivors.py",
        "            if not look.missed:\n",
        "            if not new:\n",
        (
            "tests/unit/test_survivors.py::"
            "test_processes_of_others_that_start_all_the_time_do_not_leave_it_unproven",
        ),
    ),
    Mutation(
        "where /proc is not mounted everybody is gone",
        "kronii/processes.py",
        "    if not _proc_is_ours():\n        return False\n",
        "    if not _proc_is_ours():\n        return True\n",
        ("tests/e2e/test_survivors.py::test_where_proc_is_not_mounted_the_lease_decides",),
    ),
    Mutation(
        "a process whose main thread has ended is taken for gone",
        "kronii/processes.py",
        " and threads <= 1:",
        ":",
        ("tests/unit/test_survivors.py::test_what_shows_no_environment_is_known_by_its_limit",),
    ),
    Mutation(
        "the guard spins on what it can't end",
        "kronii/guard/survivors.py",
        "time.sleep(self._backoff.failed(now))",
        "time.sleep(0.002)",
        (
            "tests/unit/test_survivors.py::"
            "test_what_may_not_be_signalled_is_waited_for_in_peace_until_the_lease_is_over",
        ),
    ),
    Mutation(
        "a fork that holds the pipe hides the death",
        "kronii/guard/process.py",
        "for fd in (pipe, instance.fileno()):",
        "for fd in (pipe,):",
        ("tests/e2e/test_survivors.py::test_a_fork_that_holds_the_guards_pipe_delays_nothing",),
    ),
    Mutation(
        "a process that sheds both marks outlives the instance though it is in its control group",
        "kronii/guard/survivors.py",
        "            self._cgroup.kill()",
        "            pass",
        ("tests/e2e/test_survivors.py::test_in_a_delegated_control_group_nothing_escapes",),
    ),
    Mutation(
        "a guard that dies goes unnoticed",
        "kronii/instance/revival.py",
        "        self._note()\n",
        "",
        ("tests/e2e/test_survivors.py::test_a_guard_that_dies_is_said_counted_shown_and_replaced",),
    ),
    Mutation(
        "ignored SIGCHLD hides exit statuses",
        "kronii/commands/run.py",
        "    start_state.begin()\n",
        "",
        ("tests/e2e/test_start_state.py::test_outcomes_are_true_though_sigchld_was_ignored",),
    ),
    Mutation(
        "blocked signals stay blocked",
        "kronii/instance/start_state.py",
        "    signal.pthread_sigmask(signal.SIG_SETMASK, [])",
        "    pass",
        ("tests/unit/test_start_state.py::test_no_signal_stays_blocked",),
    ),
    Mutation(
        "number 1 collects zombies",
        "kronii/commands/run.py",
        "    ended = init.divide()",
        "    ended = None",
        (
            "tests/e2e/test_start_state.py::"
            "test_as_number_1_it_reaps_orphans_and_stops_in_good_order",
        ),
    ),
    Mutation(
        "jobs may write on the board",
        "kronii/guard/instance.py",
        "        seal(self._board_fd)\n",
        "        pass\n",
        (
            "tests/unit/test_board.py::test_a_sealed_board_is_its_instances_alone",
            "tests/e2e/test_secrecy.py::test_the_address_is_in_no_environment_and_no_argument",
        ),
    ),
    Mutation(
        "the address is in the guard's environment",
        "kronii/guard/instance.py",
        "env=_environment(),",
        'env={**_environment(), "DATABASE_URL": self._url},',
        (
            "tests/unit/test_isolation.py::"
            "test_the_guard_starts_whatever_the_directory_and_the_environment_hold",
        ),
    ),
    Mutation(
        "everybody looks into the guard",
        "kronii/guard/process.py",
        "    secrecy.keep()\n",
        "    pass\n",
        ("tests/e2e/test_secrecy.py::test_a_job_of_the_same_user_finds_nothing_at_all",),
    ),
    Mutation(
        "the guard loads what lies in the directory",
        "kronii/guard/instance.py",
        'isolation.command("kronii.guard.__main__", "-I")',
        '[*isolation.command("kronii.guard.__main__", "-I")[:1],'
        ' *isolation.command("kronii.guard.__main__", "-I")[2:]]',
        (
            "tests/unit/test_isolation.py::"
            "test_the_guard_starts_whatever_the_directory_and_the_environment_hold",
        ),
    ),
    Mutation(
        "a dead guard stays dead",
        "kronii/guard/instance.py",
        "if self._process is None or self.alive:",
        "if True:",
        ("tests/e2e/test_crash.py::test_a_guard_that_is_killed_is_replaced",),
    ),
)
