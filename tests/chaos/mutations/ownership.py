"""Whose definition is in force, its history, and what is noted."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.mutations.mutation import Mutation

DEFINITIONS, LEASES, COMMANDS = "sql/definitions.sql", "sql/leases.sql", "sql/commands.sql"
SETTLING, REGISTRATION = "kronii/database/settling.py", "kronii/database/registration.py"
IN_FORCE = "tests/database/test_in_force.py::test_"
EVENTS = "tests/database/test_events.py::test_"
UNIT = "tests/unit/test_"

#: Fault, file, text, what stands there without the remedy, and the test that notices.
ROWS = (
    (
        "a changed definition has no stretch",
        SETTLING,
        "    elif retired or any(change.row is not None for change in changes):\n",
        "    elif retired:\n",
        IN_FORCE + "one_alone_that_goes_back_takes_the_earlier_content",
    ),
    (
        "a retired definition is in force for ever",
        SETTLING,
        "    elif retired or any(change.row is not None for change in changes):\n",
        "    elif any(change.row is not None for change in changes):\n",
        IN_FORCE + "a_job_that_comes_back_has_a_gap",
    ),
    (
        "a new job's first definition has no stretch",
        DEFINITIONS,
        "JOIN pg_temp.settling AS s ON s.name = new.name\n",
        "JOIN pg_temp.settling AS s ON false\n",
        IN_FORCE + "one_alone_that_goes_back_takes_the_earlier_content",
    ),
    (
        "a file is said to list what it lacks",
        "kronii/database/recorded.py",
        "[name for name in stands if name not in wanted]",
        "[]",
        IN_FORCE + "a_file_has_all_of_its_definitions_though_only_new_ones_are_sent",
    ),
    (
        "what an earlier release has registered is missing in a file",
        "kronii/database/recorded.py",
        "    if found != len(wanted):  # an earlier",
        "    if False:  # an earlier",
        IN_FORCE + "what_an_earlier_release_has_registered_is_recorded_with_the_file",
    ),
    (
        "a tick that begins while a change waits is due again",
        SETTLING,
        '    if rows:\n        queries.run(connection, "lock_jobs"',
        '    if False:\n        queries.run(connection, "lock_jobs"',
        IN_FORCE + "a_tick_that_begins_while_a_change_waits_is_not_due_again",
    ),
    (
        "an older file takes over what a live instance holds",
        DEFINITIONS,
        "ORDER BY d.name, d.id DESC,",
        "ORDER BY d.name, d.id,",
        IN_FORCE + "an_older_file_changes_nothing_of_what_is_held",
    ),
    (
        "what one file lacks is retired for all",
        SETTLING,
        "    if rows is not None and held.only(me.file):\n",
        "    if rows is not None:\n",
        IN_FORCE + "what_one_file_lacks_is_not_retired",
    ),
    (
        "who was taken for dead decides what is in force",
        SETTLING,
        "    if not held.live:\n        return Settled",
        "    if False:\n        return Settled",
        IN_FORCE + "with_no_live_instance_nothing_changes",
    ),
    (
        "a step of the server's clock takes the jobs from everybody",
        DEFINITIONS,
        "    AND NOT EXISTS (SELECT FROM pg_stat_activity AS a\n"
        "                     WHERE a.pid = @node.backend_pid"
        " AND a.application_name = @session_name(@node)))",
        ")",
        IN_FORCE + "one_whose_lease_is_over_counts_while_it_is_connected",
    ),
    (
        "after an outage who comes first retires the others' jobs",
        DEFINITIONS,
        " OR n.died_at IS NULL AND @just_come",
        "",
        IN_FORCE + "who_has_just_come_waits_for_those_who_only_reconnect",
    ),
    (
        "after an outage who comes first sweeps the others",
        LEASES,
        " AND NOT @just_come\n",
        "\n",
        EVENTS + "who_has_just_come_sweeps_only_whose_death_is_proven",
    ),
    (
        "what an earlier release may hold is retired",
        DEFINITIONS,
        "WHERE %(unknown)s AND j.retired_at IS NULL",
        "WHERE false AND j.retired_at IS NULL",
        IN_FORCE + "beside_an_earlier_release_nothing_is_retired_that_it_may_hold",
    ),
    (
        "a schedule that a later release wrote stops the registration",
        SETTLING,
        "    except ScheduleError:\n        return None\n",
        "    except ScheduleError:\n        raise\n",
        IN_FORCE + "what_can_not_be_read_here_is_left_to_those_who_hold_it",
    ),
    (
        "two stretches of a job have one beginning",
        DEFINITIONS,
        "GREATEST(%(now)s::timestamp, f.since + INTERVAL '1 us')",
        "%(now)s::timestamp",
        IN_FORCE + "the_stretches_of_a_job_have_no_gap_though_the_clock_goes_back",
    ),
    (
        "a stretch goes on after its definition",
        SETTLING,
        '    queries.run(connection, "close_stretches", values)\n',
        "",
        IN_FORCE + "one_alone_that_goes_back_takes_the_earlier_content",
    ),
    (
        "a file whose definitions are forgotten lists nothing",
        DEFINITIONS,
        "COALESCE(pg_catalog.cardinality(f.definitions), 0) = 0 AS unknown",
        "f.id IS NULL AS unknown",
        IN_FORCE + "a_file_whose_definitions_are_forgotten_is_not_known",
    ),
    (
        "a file whose definitions are forgotten stays so",
        "kronii/database/recorded.py",
        " and known[1] == len(wanted)",
        "",
        IN_FORCE + "a_file_whose_definitions_are_forgotten_is_not_known",
    ),
    (
        "what comes into force later is run by nobody",
        REGISTRATION,
        "runnable.jobs if ours.keys() <= runnable.jobs.keys() else {**runnable.jobs, **ours}",
        "runnable.jobs",
        IN_FORCE + "what_comes_into_force_later_may_be_run_by_who_holds_it",
    ),
    (
        "nobody settles after one who has left",
        "kronii/instance/scheduler.py",
        "        if self._session.heard(LEFT):\n",
        "        if False:\n",
        UNIT + "scheduler.py::test_when_somebody_has_left_it_has_that_settled",
    ),
    (
        "without a word from anybody nothing is settled",
        "kronii/instance/sweeper.py",
        "if self._asked.wait(LOOK):",
        "if self._asked.wait():",
        UNIT + "sweeper.py::test_it_looks_who_holds_what_though_nobody_asks",
    ),
    (
        "what is settled is settled again and again",
        "kronii/instance/settler.py",
        " or (me.file, held.here) == self._settled",
        "",
        UNIT + "settler.py::test_what_is_settled_is_left_alone",
    ),
    (
        "a reload beside one that dies then leaves its jobs in force",
        "kronii/instance/settler.py",
        "(me.file, held.here) == self._settled",
        "held.here == (self._settled or (0, 0))[1]",
        UNIT + "settler.py::test_a_reload_beside_one_that_has_died_since_is_a_reason",
    ),
    (
        "what is left to others is said again and again",
        "kronii/instance/changes.py",
        "        if names - before:\n",
        "        if names:\n",
        UNIT + "changes.py::test_what_is_left_to_others_is_said_once_for_each_change",
    ),
    (
        "a reload speaks of another instance's file",
        "kronii/instance/jobs.py",
        "        if self.reloading:",
        "        if False:",
        UNIT + "jobs.py::test_what_a_reload_has_just_registered_is_no_other_ones",
    ),
    (
        "a death that is said twice is noted twice",
        LEASES,
        "      FROM mine WHERE died_at IS NULL",
        "      FROM mine",
        EVENTS + "a_death_that_is_proven_is_noted_once",
    ),
    (
        "a job that is paused already is paused again",
        COMMANDS,
        "FROM paused WHERE NOT paused",
        "FROM paused",
        EVENTS + "what_an_operator_does",
    ),
    (
        "what is in force is forgotten",
        DEFINITIONS,
        "     WHERE until < @now_utc",
        "     WHERE since < @now_utc",
        EVENTS + "what_is_old_is_deleted_and_what_is_in_force_stays",
    ),
    (
        "what is held is forgotten",
        DEFINITIONS,
        "\n   AND NOT EXISTS (SELECT FROM nodes AS n WHERE n.file = f.id)",
        "",
        EVENTS + "what_is_old_is_deleted_and_what_is_in_force_stays",
    ),
    (
        "what was noted stays for ever",
        "kronii/instance/retention.py",
        "0 if count else self._store.forget_rest(self._keep)",
        "0",
        UNIT + "retention.py::test_what_was_noted_goes_after_the_runs",
    ),
)


def _mutations() -> Iterator[Mutation]:
    for fault, file, old, new, test in ROWS:
        yield Mutation(fault, file, old, new, (test,))


MUTATIONS = tuple(_mutations())
