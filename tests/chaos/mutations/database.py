"""Statements, the dedicated session, and the server behind it."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

HOME = "tests/database/test_home.py::test_"
REFUSED = "tests/e2e/test_rights.py::test_"
RIGHTS = "tests/database/test_rights.py::test_"
TRUST = "tests/database/test_trust.py::test_"
SESSION = "tests/database/test_session.py::test_"
UPGRADE = "tests/database/test_upgrade.py::test_"
LOCKED = "tests/database/test_locked_rows.py::test_"
QUARANTINE = "tests/database/test_quarantine.py::test_"
HALF_OPEN = "tests/database/test_half_open.py::test_"

MUTATIONS = (
    Mutation(
        "sessions that were given up stay open, here and at the server",
        "kronii/database/connections.py",
        "            traceback.clear_frames(link.__traceback__)\n",
        "",
        ("tests/unit/test_given_up.py::test_a_server_that_does_not_answer_keeps_no_session",),
    ),
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
        "kronii/database/claimer.py",
        """        for job_id, *_ in by_state["locked"]:
            self.deferred.add(job_id, self._asked_at)
""",
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
        "        self.release(claims)\n",
        "",
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
        "convict OR singled_out AND deaths + 1 >= %(quarantine)s, false) AS deadly",
        "false, false) AS deadly",
        (
            "tests/chaos/test_host.py::test_a_job_that_kills_its_nodes_is_quarantined_until_it_is"
            "_resumed",
        ),
    ),
    Mutation(
        "a newer schema shuts out those that could work with it",
        "sql/registration.sql",
        "INSERT INTO kronii_schema (version) VALUES (%(usable_from)s) ON CONFLICT DO NOTHING",
        "INSERT INTO kronii_schema (version) VALUES (%(version)s) ON CONFLICT DO NOTHING",
        (
            UPGRADE + "the_first_releases_go_on_with_what_this_one_makes",
            UPGRADE + "an_additive_migration_of_a_newer_release_shuts_nobody_out",
        ),
    ),
    Mutation(
        "an older one works with a schema that it can't know",
        "kronii/database/schema.py",
        "        if self.usable_from > latest():\n",
        "        if False:\n",
        (
            UPGRADE + "one_that_is_not_additive_is_refused_with_its_version",
            "tests/e2e/test_upgrade.py::test_beyond_what_it_can_use_an_older_one_is_refused",
        ),
    ),
    Mutation(
        "an upgrade waits in front of the claims",
        "kronii/database/migrations.py",
        'LOCK_TIMEOUT = "50ms"',
        'LOCK_TIMEOUT = "10s"',
        (UPGRADE + "behind_a_dump_no_claim_waits",),
    ),
    Mutation(
        "a registration waits for a vacuum",
        "sql/registration.sql",
        "ANALYZE (SKIP_LOCKED) jobs",
        "ANALYZE jobs",
        (UPGRADE + "a_vacuum_keeps_no_registration_waiting",),
    ),
    Mutation(
        "a copy of the database gives run ids once more",
        "kronii/database/membership.py",
        "        self._arrive()\n",
        "",
        (
            HOME + "a_copy_goes_on_above_what_was_given_after_it_was_made",
            "tests/e2e/test_restore.py::test_run_ids_are_never_below_one_that_a_job_has_seen",
        ),
    ),
    Mutation(
        "a jump of run ids leads down where the clock is wrong",
        "sql/leases.sql",
        "GREATEST(past.latest, @above_every_run_id)",
        "(@above_every_run_id)",
        (HOME + "a_jump_never_leads_down",),
    ),
    Mutation(
        "a restored database of an earlier release goes on below its jobs' fences",
        "sql/leases.sql",
        "WHERE moved.came_at IS NOT NULL OR past.latest IS NOT NULL OR",
        "WHERE moved.came_at IS NOT NULL OR",
        (HOME + "what_an_earlier_kronii_made_may_be_a_copy",),
    ),
    Mutation(
        "on a restored copy work begins beside that of before",
        "kronii/database/membership.py",
        "            self.quiet_until = max(self.quiet_until, self._session.monotonic() + left)\n",
        "            pass\n",
        (HOME + "a_copy_goes_on_above_what_was_given_after_it_was_made",),
    ),
    Mutation(
        "a server that ends no dead client's statement is used",
        "kronii/database/limits.py",
        "    if version < OLDEST * 10000:\n",
        "    if False:\n",
        ("tests/unit/test_schema.py::test_an_older_server_is_refused_with_the_reason",),
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
    # -- whose schema it is ------------------------------------------------------------------------
    Mutation(
        "names are looked up wherever the address says",
        "sql/rights.sql",
        "       pg_catalog.set_config('search_path',\n",
        "       pg_catalog.concat('search_path',\n",
        (TRUST + "every_session_of_ours_looks_in_our_schema_alone",),
    ),
    Mutation(
        "anybody's schema is ours by its name",
        "sql/rights.sql",
        "               OPERATOR(pg_catalog.=) 0\n",
        "               OPERATOR(pg_catalog.>=) 0\n",
        (TRUST + "a_schema_that_only_bears_our_name_is_not_ours",),
    ),
    Mutation(
        "a schema that others may write to is worked in",
        "sql/rights.sql",
        "WHERE acl.privilege_type = 'CREATE'\n     -- Of a group",
        "WHERE false\n     -- Of a group",
        (
            TRUST + "a_schema_that_everybody_may_write_is_refused_with_the_remedy",
            TRUST + "a_role_that_may_create_is_named",
            REFUSED + "a_schema_that_everybody_may_write_ends_the_start",
        ),
    ),
    Mutation(
        "an operator that was planted before takes the place of PostgreSQL's",
        "sql/rights.sql",
        "FROM pg_operator AS o JOIN home ON o.oprnamespace = home.oid\n",
        "FROM pg_operator AS o JOIN home ON false\n",
        (TRUST + "a_schema_that_everybody_may_write_is_refused_with_the_remedy",),
    ),
    Mutation(
        "a trigger of somebody else runs as ours",
        "sql/rights.sql",
        "WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'\n",
        "WHERE false\n",
        (TRUST + "a_trigger_that_somebody_may_add_runs_nothing_of_theirs",),
    ),
    Mutation(
        "a table that somebody else has made is ours",
        "sql/rights.sql",
        "SELECT 'relation', relname, relowner FROM named\n",
        "SELECT 'relation', relname, relowner FROM named WHERE false\n",
        (TRUST + "nothing_of_ours_may_be_theirs",),
    ),
    Mutation(
        "an operator on unlike types can be had for a better match",
        "sql/claims.sql",
        "(j.deaths + 1)::text",
        "(j.deaths + 1)",
        (TRUST + "no_statement_leaves_room_for_a_better_match",),
    ),
    Mutation(
        "an operator on unlike types in a migration can be had for a better match",
        "sql/0002_lock_lease_fence.sql",
        "name || '-' || id::text",
        "name || '-' || id",
        (TRUST + "the_migrations_leave_no_room_either",),
    ),
    Mutation(
        "an sql job's tables are not found",
        "kronii/database/access.py",
        "network, ours=False)",
        "network, ours=True)",
        (
            TRUST + "an_sql_jobs_session_has_its_users_path",
            "tests/database/test_sql_action.py::test_a_jobs_tables_are_found_by_its_users_path",
        ),
    ),
    Mutation(
        "a function in an sql job's path takes the place of its lock",
        "kronii/actions/sql.py",
        "SET search_path = pg_catalog, pg_temp;\n",
        "",
        ("tests/database/test_sql_action.py::test_a_jobs_tables_are_found_by_its_users_path",),
    ),
    Mutation(
        "an application's jobs are rewritten",
        "kronii/database/migrations.py",
        "        adoption.require_original(connection)\n",
        "        pass\n",
        ("tests/database/test_migrations.py::test_an_applications_jobs_are_left_alone",),
    ),
    # -- what it refuses ---------------------------------------------------------------------------
    Mutation(
        "a role's settings change what a statement means",
        "kronii/database/limits.py",
        '    "array_nulls": "on",\n',
        "",
        (RIGHTS + "an_odd_role_claims_and_records",),
    ),
    Mutation(
        "a policy hides rows without a word",
        "kronii/database/limits.py",
        '    "row_security": "off",\n',
        "",
        (RIGHTS + "a_policy_that_would_hide_rows_is_told",),
    ),
    Mutation(
        "a missing right is found out when it is too late",
        "kronii/instance/jobs.py",
        "            rights.require(connection)\n",
        "",
        (REFUSED + "what_is_not_granted_at_the_start_is_named_and_waited_for",),
    ),
    Mutation(
        "a trial leaves its rows behind",
        "kronii/database/rights.py",
        "with database_errors(), connection.transaction(force_rollback=True):\n",
        "with database_errors(), connection.transaction():\n",
        (RIGHTS + "nothing_is_left_of_the_trials",),
        times=2,
    ),
    Mutation(
        "a refusal is taken for a fault of the outcome",
        "kronii/database/errors.py",
        "    if state.startswith(REFUSALS):\n",
        "    if False:\n",
        (RIGHTS + "refusals_faults_and_outages_are_told_apart",),
    ),
    # -- rows that others hold locked --------------------------------------------------------------
    Mutation(
        "a locked row holds up all outcomes",
        "sql/outcomes.sql",
        "WHERE id = ANY (%(ids)s::uuid[]) FOR NO KEY UPDATE SKIP LOCKED",
        "WHERE id = ANY (%(ids)s::uuid[])",
        (LOCKED + "only_the_locked_ones_outcome_is_left_out",),
    ),
    Mutation(
        "who only refers to a row is taken for one that holds it",
        "sql/outcomes.sql",
        "WHERE id = ANY (%(ids)s::uuid[]) FOR NO KEY UPDATE SKIP LOCKED",
        "WHERE id = ANY (%(ids)s::uuid[]) FOR UPDATE SKIP LOCKED",
        (LOCKED + "who_only_refers_to_a_row_is_in_nobodys_way",),
    ),
    Mutation(
        "a locked run stops the retention",
        "sql/outcomes.sql",
        "FOR UPDATE OF runs SKIP LOCKED",
        "FOR UPDATE OF runs",
        (LOCKED + "old_history_goes_but_for_what_is_locked",),
    ),
    Mutation(
        "a locked lease ends the session",
        "sql/leases.sql",
        "WHERE id = %(id)s AND died_at IS NULL FOR NO KEY UPDATE SKIP LOCKED\n), renewed",
        "WHERE id = %(id)s AND died_at IS NULL FOR NO KEY UPDATE\n), renewed",
        (LOCKED + "a_locked_lease_is_not_waited_for_and_work_goes_on_until_its_deadline",),
    ),
    Mutation(
        "locked history stops recovery, release and sweep",
        "sql/queries.sql",
        "       FOR NO KEY UPDATE SKIP LOCKED\n",
        "       FOR NO KEY UPDATE\n",
        (
            LOCKED + "an_orphan_that_is_locked_keeps_no_other_from_being_recovered",
            LOCKED + "a_claim_that_is_not_known_is_released_when_its_lock_is_gone",
            LOCKED + "a_sweep_passes_over_what_is_locked",
        ),
    ),
    Mutation(
        "a registration does not say who is in its way",
        "kronii/database/holders.py",
        "    except Contended as error:\n",
        "    except MemoryError as error:\n",
        (
            LOCKED + "a_registration_says_who_holds_its_lock",
            LOCKED + "a_registration_says_who_holds_a_row_that_it_changes",
            LOCKED + "a_registration_says_who_holds_the_table",
        ),
    ),
    # -- which job killed its instance -------------------------------------------------------------
    Mutation(
        "a death convicts all that were aboard",
        "sql/claims.sql",
        "convict OR singled_out AND deaths + 1",
        "convict OR deaths + 1",
        (
            QUARANTINE + "a_newcomer_that_has_never_finished_a_run_leaves_it_open",
            QUARANTINE + "with_one_death_allowed_only_one_alone_is_convicted",
        ),
    ),
    Mutation(
        "suspects run beside each other",
        "sql/claims.sql",
        "WHERE deaths = 0 OR id IN (SELECT id FROM tried_one) OR NOT",
        "WHERE true OR NOT",
        (QUARANTINE + "after_two_deaths_together_the_third_convicts_one",),
    ),
    Mutation(
        "beside a suspect another is claimed",
        "kronii/database/claimer.py",
        '"below": self.trials.below(now),',
        '"below": self.trials.below(float("inf")),',
        (QUARANTINE + "a_suspect_is_taken_before_the_others_and_they_wait_for_its_end",),
    ),
    Mutation(
        "a killer is never convicted beside others",
        "sql/claims.sql",
        "a.jobs = 1 OR (tried.suspect AND a.suspects = 1\n",
        "a.jobs = 1 OR (false\n",
        (QUARANTINE + "what_has_not_been_aboard_runs_beside_a_suspect",),
    ),
    Mutation(
        "who has outlived its dead run excuses the killer",
        "sql/queries.sql",
        "              <= @trial(@job), true))",
        "              <= @trial(@job), true) OR true)",
        (QUARANTINE + "who_has_outlived_its_dead_run_is_no_suspect_any_more",),
    ),
    Mutation(
        "a convict that is forced to run walks through the fleet",
        "sql/claims.sql",
        "convict OR singled_out",
        "singled_out",
        (QUARANTINE + "a_convict_that_is_forced_to_run_and_kills_again_is_paused_at_once",),
    ),
    Mutation(
        "those who could take what is kept apart are not told",
        "kronii/database/claimer.py",
        '            self._session.run("notify", event=JOBS)\n',
        "            pass\n",
        (QUARANTINE + "who_is_kept_apart_here_is_told_to_the_others",),
    ),
    # -- sessions that are kept open, and strangers ------------------------------------------------
    Mutation(
        "a middlebox keeps a dead instance's locks",
        "kronii/database/poll.py",
        'sent.end = run(connection, "end_sessions", {"ids": array(silent)})',
        "pass",
        (HALF_OPEN + "the_session_of_an_instance_that_is_silent_for_a_lease_is_ended",),
    ),
    Mutation(
        "a step of the server's clock ends the sessions of the living",
        "kronii/database/silence.py",
        "since if before == state else now",
        "since",
        (
            HALF_OPEN + "a_step_of_the_servers_clock_ends_no_session_of_the_living",
            "tests/unit/test_silence.py::test_who_renews_or_uses_its_session_is_not",
        ),
    ),
    Mutation(
        "a new life leaves the old one's session open",
        "kronii/database/membership.py",
        '        self._session.run("end_life", id=self._lease.identity)\n',
        "",
        (HALF_OPEN + "a_new_life_ends_the_session_of_the_old_one",),
    ),
    Mutation(
        "a transaction of the dead holds its rows for ever",
        "kronii/database/limits.py",
        '"idle_in_transaction_session_timeout": "30s"',
        '"idle_in_transaction_session_timeout": "0"',
        ("tests/database/test_access.py::test_a_transaction_that_hangs_is_ended",),
    ),
    Mutation(
        "a stranger that holds a job's lock is not named",
        "kronii/database/poll.py",
        "        if request.renew and (stuck := self._claimer.deferred.stuck(now)):\n",
        "        if False and (stuck := []):\n",
        (HALF_OPEN + "a_stranger_that_holds_a_due_jobs_lock_is_named",),
    ),
)
