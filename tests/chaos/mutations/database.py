"""Statements, the dedicated session, and the server behind it."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

SESSION = "tests/database/test_session.py::test_"

MUTATIONS = (
    Mutation(
        "a late outcome overwrites a successor's",
        "sql/outcomes.sql",
        "WHERE j.id = e.id AND j.run_id = e.run_id AND j.owner = e.owner",
        "WHERE j.id = e.id",
        ("tests/database/test_store.py::test_a_late_outcome_is_refused",),
    ),
    Mutation(
        "a job starts beside the holder of its lock",
        "sql/claims.sql",
        "WHERE tried.locked AND j.id = tried.id",
        "WHERE j.id = tried.id",
        (SESSION + "a_lock_held_elsewhere_is_respected_and_nothing_is_left_behind",),
    ),
    Mutation(
        "jobs that can't be locked starve the others",
        "kronii/database/poll.py",
        "            self._deferred.add(job_id, self._asked_at)\n",
        "",
        (SESSION + "fifty_held_jobs_do_not_starve_a_free_one",),
    ),
    Mutation(
        "everybody is taken for dead after an outage",
        "kronii/database/poll.py",
        "margin if now - self._session.connected_at < margin else 0.0",
        "0.0",
        (SESSION + "those_who_only_need_to_reconnect_get_a_moment",),
    ),
    Mutation(
        "a claim whose answer was lost is stuck",
        "kronii/database/membership.py",
        'self._session.run("release", id=identity, runs=[',
        "list([",
        (SESSION + "a_claim_whose_answer_was_lost_is_free_again",),
    ),
    Mutation(
        "locks are not taken back after a lost session",
        "kronii/database/membership.py",
        "lost = self._reacquire(",
        "lost = set(",
        (SESSION + "a_terminated_session_comes_back_with_its_locks",),
    ),
    Mutation(
        "our half-open old session keeps the locks",
        "sql/leases.sql",
        "pg_terminate_backend(a.pid) AS done",
        "true AS done",
        (SESSION + "a_half_open_session_is_ended_before_its_locks_are_taken_back",),
    ),
    Mutation(
        "a new life begins beside the old one's work",
        "kronii/database/membership.py",
        "        if working:\n",
        "        if False:\n",
        (SESSION + "an_instance_that_was_taken_for_dead_stops_and_comes_back_as_another",),
    ),
    Mutation(
        "a claim without a node row is lost for ever",
        "sql/claims.sql",
        "FROM nodes AS n WHERE n.id = j.owner), true)",
        "FROM nodes AS n WHERE n.id = j.owner), false)",
        (SESSION + "a_claim_that_was_left_behind_is_found_though_its_instance_is_gone",),
    ),
    Mutation(
        "a failover doubles a claim that was not replicated",
        "kronii/database/membership.py",
        "self.quiet_until = self._session.monotonic() + self._lease.timings.length",
        "pass",
        (SESSION + "after_a_failover_nothing_is_claimed_for_one_lease",),
    ),
    Mutation(
        "an instance runs what its file does not say",
        "sql/queries.sql",
        "AND version <= %(version)s AND",
        "AND",
        (
            "tests/database/test_registration.py::test_an_instance_that_has_not_looked_yet_claims"
            "_nothing_of_a_later_registration",
        ),
    ),
    Mutation(
        "a job that kills its node walks through the fleet",
        "sql/claims.sql",
        "deaths + 1 >= %(quarantine)s AS deadly",
        "false AS deadly",
        (
            "tests/chaos/test_host.py::test_a_job_that_kills_its_nodes_is_quarantined_until_it_is"
            "_resumed",
        ),
    ),
    Mutation(
        "a pooler breaks the session locks",
        "kronii/database/connections.py",
        "        raise ConfigError(POOLED)\n",
        "        pass\n",
        ("tests/chaos/test_network.py::test_a_pooler_is_refused_at_start_with_the_remedy",),
    ),
    Mutation(
        "a read-only server is written to",
        "kronii/database/connections.py",
        "    if read_only:\n",
        "    if False:\n",
        ("tests/e2e/test_start.py::test_a_read_only_server_is_waited_for",),
    ),
    Mutation(
        "a full server ends the instance",
        "kronii/database/connections.py",
        "        raise DatabaseUnavailable(masking(*secrets(url))(_reason(error))) from None\n",
        "        raise\n",
        ("tests/chaos/test_server.py::test_a_server_without_a_free_connection",),
    ),
    Mutation(
        "outcomes wait for minutes after an outage",
        "kronii/database/access.py",
        "            reconnect_timeout=POOL_TIMEOUT,\n",
        "",
        ("tests/e2e/test_windows.py::test_an_outage_ends_for_outcomes_too",),
    ),
)
