"""Conditions of the statements, each taken out: what it leaves alone would be touched."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.mutations.mutation import Mutation

CLAIMS, LEASES, OUTCOMES = "sql/claims.sql", "sql/leases.sql", "sql/outcomes.sql"
COMMANDS, DEFINITIONS = "sql/commands.sql", "sql/definitions.sql"
CONDITIONS = "tests/database/test_conditions.py::test_"
OPERATOR = "tests/database/test_operator_statements.py::test_"
STORE = "tests/database/test_store.py::test_"
REGISTERED = "tests/database/test_registration.py::test_"

#: Fault, file, condition, what stands there without it, and the test that notices.
ROWS = (
    # -- claims ------------------------------------------------------------------------------------
    (
        "the dead claim ticks of this second",
        CLAIMS,
        "AND due <= @now_utc\n       AND (SELECT died_at IS NULL FROM nodes WHERE id = %(id)s)",
        "AND due <= @now_utc\n",
        CONDITIONS + "the_dead_claim_nothing",
    ),
    (
        "the dead claim overdue ticks",
        CLAIMS,
        "INTERVAL '1 s'\n       AND (SELECT died_at IS NULL FROM nodes WHERE id = %(id)s)",
        "INTERVAL '1 s'\n",
        CONDITIONS + "the_dead_claim_nothing",
    ),
    (
        "ticks to come have a backlog's seats",
        CLAIMS,
        "             WHERE @claimable AND due <= @now_utc - INTERVAL '1 s'\n             LIMIT",
        "             WHERE @claimable\n             LIMIT",
        CONDITIONS + "what_is_not_due_leaves_its_seats_to_what_is",
    ),
    (
        "a released claim loses its outcome",
        CLAIMS,
        "FROM freed WHERE r.id = freed.run_id AND r.outcome = 'running'\n)",
        "FROM freed WHERE r.id = freed.run_id\n)",
        CONDITIONS + "a_released_claim_keeps_the_outcome_that_it_has",
    ),
    (
        "a tick is moved by whoever once owned it",
        CLAIMS,
        " AND j.owner = %(id)s AND j.next_run = m.old",
        " AND j.next_run = m.old",
        CONDITIONS + "a_tick_is_moved_by_its_owner_alone",
    ),
    (
        "a run by hand counts as a run of the tick",
        CLAIMS,
        "attempt = j.attempt + (j.manual_at IS NULL)::int",
        "attempt = j.attempt + 1",
        STORE + "a_run_by_hand_leaves_the_ticks_story_alone",
    ),
    (
        "a run by hand stands for missed ticks",
        CLAIMS,
        "CASE WHEN j.manual_at IS NULL THEN j.missed ELSE 0 END AS missed",
        "j.missed AS missed",
        STORE + "a_run_by_hand_leaves_the_ticks_story_alone",
    ),
    (
        "a run by hand goes on with a tick's attempts",
        CLAIMS,
        "WHERE r.id = tried.previous AND r.trigger = 'manual'\n",
        "WHERE r.id = tried.previous\n",
        STORE + "the_runs_of_a_tick_are_none_of_a_run_by_hand_at_its_moment",
    ),
    (
        "a run by hand goes on with an earlier one's attempts",
        CLAIMS,
        "\n                                         AND r.scheduled_for = j.manual_at",
        "",
        STORE + "a_run_by_hand_that_was_interrupted_is_run_again",
    ),
    # -- what the loop sleeps by -------------------------------------------------------------------
    (
        "the loop wakes for jobs that are paused",
        CLAIMS,
        "FROM jobs WHERE active AND due > @now_utc)",
        "FROM jobs WHERE due > @now_utc)",
        CONDITIONS + "the_next_tick_is_one_that_may_start_and_is_to_come",
    ),
    (
        "the loop wakes for ticks that are overdue",
        CLAIMS,
        "FROM jobs WHERE active AND due > @now_utc)",
        "FROM jobs WHERE active)",
        CONDITIONS + "the_next_tick_is_one_that_may_start_and_is_to_come",
    ),
    (
        "a proven death is waited for like a lease",
        CLAIMS,
        "min(LEAST(lease_until, died_at))",
        "min(lease_until)",
        CONDITIONS + "the_next_lease_is_over_with_the_death",
    ),
    (
        "the fleet lives since the dead were there",
        CLAIMS,
        "FROM nodes WHERE lease_until > @now_utc)",
        "FROM nodes)",
        CONDITIONS + "who_has_been_connected_longest_is_one_that_lives",
    ),
    # -- the dead ----------------------------------------------------------------------------------
    (
        "an instance recovers its own running jobs",
        CLAIMS,
        "AND j.due <= @now_utc AND j.owner <> %(id)s\n",
        "AND j.due <= @now_utc AND j.owner IS NOT NULL\n",
        CONDITIONS + "nobody_recovers_his_own",
    ),
    (
        "a recovery waits for whoever holds a row",
        CLAIMS,
        "       FOR UPDATE OF j SKIP LOCKED\n), locked",
        "       FOR UPDATE OF j\n), locked",
        CONDITIONS + "a_row_that_somebody_works_on_is_recovered_later",
    ),
    (
        "a run that its instance ended counts as a death",
        CLAIMS,
        "COALESCE(r.outcome <> 'interrupted', true) AS died",
        "true AS died",
        CONDITIONS + "a_run_that_was_ended_before_its_instance_is_no_death",
    ),
    (
        "a job is quarantined for a run that was no death",
        CLAIMS,
        "SELECT *, died AND %(quarantine)s > 0",
        "SELECT *, %(quarantine)s > 0",
        CONDITIONS + "a_run_that_was_ended_before_its_instance_is_no_death",
    ),
    (
        "a quarantine of 0 is one of the first death",
        CLAIMS,
        "SELECT *, died AND %(quarantine)s > 0\n              AND",
        "SELECT *, died\n              AND",
        CONDITIONS + "without_a_quarantine_no_death_is_one_too_many",
    ),
    (
        "a quarantined run by hand starts again",
        CLAIMS,
        "manual_at = CASE WHEN NOT deadly THEN j.manual_at END",
        "manual_at = j.manual_at",
        CONDITIONS + "a_quarantined_run_by_hand_is_not_asked_for_again",
    ),
    (
        "a death resumes a job that is paused",
        CLAIMS,
        "ELSE j.paused_at END,",
        "END,",
        CONDITIONS + "a_run_by_hand_of_a_paused_job_leaves_it_paused",
    ),
    (
        "a lost run's outcome is overwritten",
        "sql/queries.sql",
        " AND r.outcome IN ('running', 'timeout')",
        "",
        CONDITIONS + "a_run_that_was_ended_before_its_instance_is_no_death",
    ),
    (
        "a timeout that was announced is taken for an outcome",
        "sql/queries.sql",
        "IN ('running', 'timeout')",
        "IN ('running')",
        CONDITIONS + "a_timeout_that_was_announced_is_no_outcome_yet",
    ),
    # -- the sweep, and sessions that are ended ----------------------------------------------------
    (
        "claims of the dead without a next tick stay for ever",
        LEASES,
        "NOT j.active OR j.due IS NULL OR j.due > @now_utc",
        "NOT j.active OR j.due > @now_utc",
        CONDITIONS + "claims_that_are_not_due_any_more_are_swept",
    ),
    (
        "claims of the dead on ticks to come stay until then",
        LEASES,
        "NOT j.active OR j.due IS NULL OR j.due > @now_utc",
        "NOT j.active OR j.due IS NULL",
        CONDITIONS + "claims_that_are_not_due_any_more_are_swept",
    ),
    (
        "claims of the dead on paused jobs stay for ever",
        LEASES,
        "NOT j.active OR j.due IS NULL OR j.due > @now_utc",
        "j.due IS NULL OR j.due > @now_utc",
        CONDITIONS + "claims_that_are_not_due_any_more_are_swept",
    ),
    (
        "the sweep frees claims whose locks are held",
        LEASES,
        "     WHERE NOT j.active OR j.due IS NULL OR j.due > @now_utc\n",
        "",
        CONDITIONS + "claims_that_are_due_are_not",
    ),
    (
        "a proven death is swept when its lease is over",
        LEASES,
        "       AND (died_at IS NOT NULL\n            OR @lease_over(n)",
        "       AND (@lease_over(n)",
        CONDITIONS + "a_proven_death_is_swept_though_the_lease_stands",
    ),
    (
        "an instance sweeps itself",
        LEASES,
        "     WHERE id <> %(id)s\n       AND (died_at",
        "     WHERE (died_at",
        CONDITIONS + "nobody_sweeps_himself",
    ),
    (
        "a stranger's session keeps a dead instance listed",
        LEASES,
        "\n                                  AND a.application_name = @session_name(n)))",
        "))",
        CONDITIONS + "a_stranger_with_the_number_of_a_dead_session_is_no_sign_of_life",
    ),
    (
        "a stranger's session is ended for our old one",
        LEASES,
        "WHERE a.application_name = %(application)s AND a.datname",
        "WHERE a.datname",
        CONDITIONS + "a_stranger_with_the_number_of_our_old_session_is_not_ended",
    ),
    (
        "a stranger's session is ended for a dead instance's",
        LEASES,
        " WHERE pid = %(pid)s AND application_name = %(application)s",
        " WHERE pid = %(pid)s",
        CONDITIONS + "a_stranger_with_the_number_of_our_old_session_is_not_ended",
    ),
    (
        "a new session ends itself",
        LEASES,
        "\n       AND a.pid <> pg_backend_pid()",
        "",
        CONDITIONS + "a_new_session_with_the_number_of_the_old_one_does_not_end_itself",
    ),
    (
        "a server that tells no timeline has always failed over",
        LEASES,
        "timeline NOT IN ('', %(timeline)s)",
        "timeline <> %(timeline)s",
        CONDITIONS + "what_is_no_sign_of_a_failover",
    ),
    (
        "a dead instance's timeline keeps the fleet quiet",
        LEASES,
        "%(timeline)s) AND died_at IS NULL)",
        "%(timeline)s))",
        CONDITIONS + "what_is_no_sign_of_a_failover",
    ),
    # -- outcomes ----------------------------------------------------------------------------------
    (
        "a run by hand at a tick's moment is that tick",
        OUTCOMES,
        "next_run = CASE WHEN e.settled AND e.trigger <> 'manual' AND j.next_run = e.tick",
        "next_run = CASE WHEN e.settled AND j.next_run = e.tick",
        STORE + "a_run_by_hand_at_a_ticks_very_moment_is_not_that_tick",
    ),
    (
        "a run by hand ends the attempts of a tick",
        OUTCOMES,
        "attempt = CASE WHEN e.settled AND e.trigger <> 'manual' THEN 0",
        "attempt = CASE WHEN e.settled THEN 0",
        STORE + "a_run_by_hand_leaves_the_ticks_story_alone",
    ),
    (
        "a run by hand ends the failures of a tick",
        OUTCOMES,
        "failures = CASE WHEN e.trigger = 'manual' THEN j.failures",
        "failures = CASE WHEN false THEN j.failures",
        STORE + "a_run_by_hand_leaves_the_ticks_story_alone",
    ),
    (
        "a run by hand ends what a tick stands for",
        OUTCOMES,
        "missed = CASE WHEN e.settled AND e.trigger <> 'manual' THEN 0",
        "missed = CASE WHEN e.settled THEN 0",
        STORE + "a_run_by_hand_leaves_the_ticks_story_alone",
    ),
    (
        "a failure ends what a tick stands for",
        OUTCOMES,
        "missed = CASE WHEN e.settled AND e.trigger <> 'manual' THEN 0",
        "missed = CASE WHEN e.trigger <> 'manual' THEN 0",
        STORE + "what_a_tick_stands_for_goes_with_it",
    ),
    (
        "a run by hand ends the wait for a retry",
        OUTCOMES,
        "retry_at = CASE WHEN e.trigger = 'manual' THEN j.retry_at",
        "retry_at = CASE WHEN false THEN j.retry_at",
        STORE + "a_run_by_hand_leaves_the_ticks_story_alone",
    ),
    (
        "a retry of an old tick delays the one that was set meanwhile",
        OUTCOMES,
        "WHEN j.next_run = e.tick THEN @now_utc + @seconds(e.delay) END",
        "WHEN true THEN @now_utc + @seconds(e.delay) END",
        STORE + "a_tick_that_was_edited_meanwhile_is_not_tried_again",
    ),
    (
        "an interrupted run by hand is forgotten",
        OUTCOMES,
        "CASE WHEN e.trigger = 'manual' AND e.settled THEN NULL",
        "CASE WHEN e.trigger = 'manual' THEN NULL",
        STORE + "a_run_by_hand_that_was_interrupted_is_run_again",
    ),
    (
        "a tick's end takes a run by hand with it",
        OUTCOMES,
        "CASE WHEN e.trigger = 'manual' AND e.settled THEN NULL",
        "CASE WHEN e.settled THEN NULL",
        STORE + "a_run_that_was_asked_for_meanwhile_is_still_to_come",
    ),
    (
        "an interruption ends the count of deaths",
        OUTCOMES,
        "deaths = CASE WHEN e.outcome = 'interrupted' THEN j.deaths ELSE 0 END",
        "deaths = 0",
        STORE + "deaths_in_a_row_end_with_a_run_that_ended_by_itself",
    ),
    (
        "deaths are counted over runs that ended well",
        OUTCOMES,
        "deaths = CASE WHEN e.outcome = 'interrupted' THEN j.deaths ELSE 0 END",
        "deaths = j.deaths",
        STORE + "deaths_in_a_row_end_with_a_run_that_ended_by_itself",
    ),
    (
        "a refused outcome skips ticks",
        OUTCOMES,
        "     WHERE (s.run_id IN (SELECT run_id FROM closed WHERE moved)) IS TRUE\n",
        "",
        STORE + "a_refused_outcome_skips_nothing",
    ),
    # -- registration ------------------------------------------------------------------------------
    (
        "a new schedule has the old one's deaths",
        DEFINITIONS,
        "deaths   = CASE WHEN s.rescheduled THEN 0 ELSE j.deaths END",
        "deaths   = j.deaths",
        REGISTERED + "a_changed_schedule_is_computed_from_now_and_anything_else_keeps_the_tick",
    ),
    (
        "a new timeout disowns owed ticks",
        DEFINITIONS,
        "CASE WHEN s.rescheduled THEN %(now)s ELSE j.scheduled_since END,",
        "%(now)s,",
        REGISTERED + "a_changed_schedule_is_computed_from_now_and_anything_else_keeps_the_tick",
    ),
    (
        "a retired job is run by hand",
        DEFINITIONS,
        "retry_at = NULL, manual_at = NULL, attempt = 0, failures",
        "retry_at = NULL, attempt = 0, failures",
        REGISTERED + "a_job_that_is_gone_is_retired_keeps_its_history_and_comes_back",
    ),
    # -- commands ----------------------------------------------------------------------------------
    (
        "a second pause changes the reason",
        COMMANDS,
        "pause_reason = COALESCE(j.pause_reason, %(reason)s)",
        "pause_reason = %(reason)s",
        OPERATOR + "what_is_paused_keeps_since_when_and_why",
    ),
    (
        "a running job that is paused is shown as idle",
        COMMANDS,
        "status = CASE WHEN j.owner IS NULL THEN 'paused' ELSE j.status END\n      FROM had",
        "status = 'paused'\n      FROM had",
        OPERATOR + "a_run_goes_on_through_pause_and_resume",
    ),
    (
        "a job that is not paused is moved by a resume",
        COMMANDS,
        "     WHERE j.paused_at IS NOT NULL\n       FOR NO KEY UPDATE OF j",
        "       FOR NO KEY UPDATE OF j",
        OPERATOR + "what_is_not_paused_is_not_resumed",
    ),
    (
        "a running job that is resumed is shown as idle",
        COMMANDS,
        "CASE WHEN j.owner IS NOT NULL THEN j.status\n                         WHEN NOT",
        "CASE WHEN NOT",
        OPERATOR + "a_run_goes_on_through_pause_and_resume",
    ),
    (
        "a disabled job that is resumed is shown as waiting",
        COMMANDS,
        "\n                         WHEN NOT j.enabled THEN 'paused' ELSE 'pending' END",
        "\n                         ELSE 'pending' END",
        OPERATOR + "a_disabled_job_that_is_resumed_stays_where_it_is",
    ),
    (
        "commands find jobs that are retired",
        COMMANDS,
        " AND retired_at IS NULL\n\n-- name: trigger",
        "\n\n-- name: trigger",
        OPERATOR + "a_retired_job_is_no_job",
    ),
    (
        "a job is paused as it retires",
        COMMANDS,
        " AND retired_at IS NULL\n       FOR NO KEY UPDATE\n), paused",
        "\n       FOR NO KEY UPDATE\n), paused",
        OPERATOR + "a_job_that_retires_at_the_last_moment_is_left_alone",
    ),
    (
        "a job is triggered as it retires",
        COMMANDS,
        "AND retired_at IS NULL AND owner IS NULL",
        "AND owner IS NULL",
        OPERATOR + "a_job_that_retires_at_the_last_moment_is_left_alone",
    ),
    (
        "a running job is triggered",
        COMMANDS,
        "AND retired_at IS NULL AND owner IS NULL AND manual_at",
        "AND retired_at IS NULL AND manual_at",
        OPERATOR + "what_runs_or_is_about_to_is_not_triggered",
    ),
    (
        "a second trigger moves the first",
        COMMANDS,
        "AND owner IS NULL AND manual_at IS NULL\n",
        "AND owner IS NULL\n",
        OPERATOR + "what_runs_or_is_about_to_is_not_triggered",
    ),
    (
        "another trigger's run is waited for",
        COMMANDS,
        "job_id = %(id)s::uuid AND scheduled_for = %(tick)s AND trigger = 'manual'",
        "job_id = %(id)s::uuid AND trigger = 'manual' AND %(tick)s::timestamp > '2024-01-01'",
        OPERATOR + "the_run_that_is_waited_for_is_the_one_that_was_asked_for",
    ),
    (
        "a tick's run is waited for",
        COMMANDS,
        "AND scheduled_for = %(tick)s AND trigger = 'manual'",
        "AND scheduled_for = %(tick)s",
        OPERATOR + "the_run_that_is_waited_for_is_the_one_that_was_asked_for",
    ),
    (
        "the dead are shown alive",
        COMMANDS,
        "n.died_at IS NULL AND n.lease_until > @now_utc AS alive",
        "n.lease_until > @now_utc AS alive",
        OPERATOR + "who_is_alive",
    ),
    (
        "those whose lease is over are shown alive",
        COMMANDS,
        "n.died_at IS NULL AND n.lease_until > @now_utc AS alive",
        "n.died_at IS NULL AS alive",
        OPERATOR + "who_is_alive",
    ),
    (
        "a key of two halves is shown as a job's lock",
        COMMANDS,
        "l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted",
        "l.locktype = 'advisory' AND l.granted",
        OPERATOR + "locks_of_others_are_not_a_jobs",
    ),
    (
        "a lock in another database is shown as a job's",
        COMMANDS,
        "\n   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        "",
        OPERATOR + "locks_of_others_are_not_a_jobs",
    ),
    (
        "who waits for a lock is shown as its holder",
        COMMANDS,
        "AND l.objsubid = 1 AND l.granted\n",
        "AND l.objsubid = 1\n",
        OPERATOR + "who_waits_for_a_lock_does_not_hold_it",
    ),
    (
        "the server's own processes count as connections",
        COMMANDS,
        "  FROM pg_stat_activity\n WHERE backend_type = 'client backend'\n",
        "  FROM pg_stat_activity\n",
        OPERATOR + "only_clients_take_connections",
    ),
)


def _mutations() -> Iterator[Mutation]:
    for fault, file, condition, without, test in ROWS:
        yield Mutation(fault, file, condition, without, (test,))


MUTATIONS: tuple[Mutation, ...] = tuple(_mutations())
