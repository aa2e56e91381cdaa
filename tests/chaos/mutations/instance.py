"""One instance: its step, its threads, and their end."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

RELOAD = "tests/unit/test_reload.py::test_"
CONNECTOR = "tests/unit/test_connector.py::test_"
LEAVING = "tests/unit/test_leaving.py::test_"
RECORDER = "tests/unit/test_recorder.py::test_"
SCHEDULER = "tests/unit/test_scheduler.py::test_"
REPEATS = "tests/unit/test_repeats.py::test_"
STOP = "tests/e2e/test_stop.py::test_"
SUPERVISOR = "tests/unit/test_supervisor.py::test_"
SWEEPER = "tests/unit/test_sweeper.py::test_"
TIMEKEEPER = "tests/unit/test_timekeeper.py::test_"

MUTATIONS = (
    # -- the step ----------------------------------------------------------------------------------
    Mutation(
        "without a lease work is claimed on",
        "kronii/instance/scheduler.py",
        "self._session.lease.held(now) and",
        "True and",
        (SCHEDULER + "without_its_lease_it_claims_nothing",),
    ),
    Mutation(
        "a backlog has all seats",
        "kronii/instance/scheduler.py",
        "return seats - seats // BACKLOG_SHARE",
        "return seats",
        (SCHEDULER + "it_claims_for_free_seats_and_leaves_a_quarter_to_a_backlog",),
    ),
    Mutation(
        "a request that comes at the start ends the instance",
        "kronii/instance/threads.py",
        'if thread.name.startswith(f"{pool.name}-"):',
        "if thread is not threading.current_thread():",
        (SUPERVISOR + "of_what_starts_with_the_pool_only_its_own_is_watched",),
    ),
    Mutation(
        "an outage ends the instance",
        "kronii/instance/scheduler.py",
        "        except (DatabaseUnavailable, DatabaseError) as error:\n",
        "        except MemoryError as error:\n",
        (SCHEDULER + "a_database_that_is_away_is_no_error_of_the_step",),
    ),
    Mutation(
        "a bug is taken for an outage",
        "kronii/instance/scheduler.py",
        "        except (DatabaseUnavailable, DatabaseError) as error:\n",
        "        except Exception as error:\n",
        (SCHEDULER + "a_bug_is_not_taken_for_an_outage",),
    ),
    Mutation(
        "one job's bug keeps a whole batch from starting",
        "kronii/instance/starter.py",
        "        except Exception as error:\n",
        "        except MemoryError as error:\n",
        ("tests/unit/test_starter.py::test_one_jobs_bug_is_that_jobs_failure",),
    ),
    Mutation(
        "work goes on whose lock is lost",
        "kronii/instance/connector.py",
        "            if run.claim.run_id in lost and run.end(Outcome.INTERRUPTED):\n",
        "            if False and run.end(Outcome.INTERRUPTED):\n",
        ("tests/unit/test_connector.py::test_a_run_whose_lock_is_not_to_be_had_again_is_ended",),
    ),
    Mutation(
        "registrations that a copy of the database lacks are taken for granted",
        "kronii/instance/connector.py",
        "            self._jobs.prepare()\n            self._session.connect()\n",
        "            pass\n",
        ("tests/unit/test_connector.py::test_on_another_copy_of_the_database_it_registers_anew",),
    ),
    Mutation(
        "somebody at a table keeps an instance from its work",
        "kronii/instance/upgrade.py",
        "        if not schema.read(connection).usable:\n            raise\n",
        "        raise\n",
        (
            "tests/e2e/test_upgrade.py::"
            "test_behind_a_dump_ticks_are_on_time_and_who_is_there_is_said",
        ),
    ),
    Mutation(
        "an instance that was told not to upgrades the schema",
        "kronii/instance/upgrade.py",
        "    if not migrate:\n",
        "    if False:\n",
        ("tests/e2e/test_upgrade.py::test_it_can_be_told_to_leave_the_schema_alone",),
    ),
    # -- outcomes ----------------------------------------------------------------------------------
    Mutation(
        "an outcome whose answer was lost counts as fenced",
        "kronii/instance/writer.py",
        "return written | self._store.recorded(list(missing)) if missing and again else written",
        "return written",
        (RECORDER + "a_commit_whose_answer_was_lost_is_no_loss",),
    ),
    Mutation(
        "outcomes wait behind the one whose row is locked",
        "kronii/instance/writer.py",
        "            except Contended as error:\n",
        "            except MemoryError as error:\n",
        (RECORDER + "a_locked_row_holds_only_its_own_outcome",),
    ),
    Mutation(
        "an outcome that waits for its row is forgotten at a stop",
        "kronii/instance/recorder.py",
        "while not (ending and (self._writer.gave_up or not self._writer.aside.runs)):",
        "while not ending:",
        (RECORDER + "a_stop_tries_a_locked_row_as_long_as_it_is_given",),
    ),
    Mutation(
        "what was just claimed is given back with the rest",
        "kronii/instance/scheduler.py",
        "        if result.claims:\n",
        "        self._connector.release_rest()\n        if result.claims:\n",
        (SCHEDULER + "what_was_just_claimed_is_known_when_the_rest_is_released",),
    ),
    Mutation(
        "a lease that could not be renewed waits for a whole beat",
        "kronii/instance/scheduler.py",
        "soon if result.renewed is False else now",
        "now",
        (SCHEDULER + "a_lease_that_could_not_be_renewed_is_asked_for_again_soon",),
    ),
    Mutation(
        "one job's bug keeps all other outcomes from the table",
        "kronii/instance/recorder.py",
        "    except Exception as error:  # one schedule's bug",
        "    except MemoryError as error:  # one schedule's bug",
        (RECORDER + "one_jobs_bug_keeps_no_other_outcome_from_the_table",),
    ),
    Mutation(
        "an announced timeout is counted twice",
        "kronii/instance/committed.py",
        "if run.finished.claim.run_id not in self._announced]",
        "if True]",
        (
            "tests/unit/test_committed.py::"
            "test_an_announced_timeout_is_counted_when_it_is_announced_and_not_again",
        ),
    ),
    # -- threads -----------------------------------------------------------------------------------
    Mutation(
        "a thread dies unnoticed",
        "kronii/instance/supervisor.py",
        "            self._supervisor.failed(self.name, error)\n",
        "            pass\n",
        ("tests/unit/test_supervisor.py::test_what_escapes_is_named_and_rings",),
    ),
    Mutation(
        "a thread that returns too early is not missed",
        "kronii/instance/supervisor.py",
        "if not thread.is_alive() and thread.name not in self._failed:",
        "if False:",
        (
            "tests/unit/test_supervisor.py::"
            "test_a_thread_that_returns_without_being_told_to_has_failed",
        ),
    ),
    Mutation(
        "a partition's work goes on beside the successor's",
        "kronii/instance/timekeeper.py",
        "deadline, kill_after = self._lease.deadline, self._lease.timings.kill_after\n",
        "deadline, kill_after = NEVER, 0.0\n",
        (
            "tests/chaos/test_network.py::"
            "test_a_partition_longer_than_the_lease_ends_the_work_before_a_peer_begins",
            TIMEKEEPER + "at_the_leases_deadline_everything_is_ended",
        ),
    ),
    Mutation(
        "a backend that answers nothing hangs the main thread",
        "kronii/instance/timekeeper.py",
        "        cut_overdue(now)\n",
        "",
        ("tests/e2e/test_windows.py::test_a_server_that_answers_nothing_hangs_nobody",),
    ),
    Mutation(
        "a run that can't be ended keeps others from it",
        "kronii/instance/timekeeper.py",
        "        except Exception as error:\n",
        "        except MemoryError as error:\n",
        (TIMEKEEPER + "a_run_that_can_not_be_ended_keeps_no_other_from_it",),
    ),
    Mutation(
        "a stop leaves what the dead have left to nobody",
        "kronii/instance/sweeper.py",
        "        if self._asked.is_set():  # what",
        "        if False:  # what",
        (SWEEPER + "what_is_asked_for_in_its_pause_is_swept_though_it_is_stopped",),
    ),
    Mutation(
        "an outage ends the sweeper",
        "kronii/instance/sweeper.py",
        "        except (DatabaseUnavailable, DatabaseError) as error:\n",
        "        except MemoryError as error:\n",
        (SWEEPER + "an_error_is_said_and_the_next_sweep_is_made",),
    ),
    Mutation(
        "a sweep that is asked for during one is forgotten",
        "kronii/instance/sweeper.py",
        "                self._asked.clear()\n                self.sweep()\n",
        "                self.sweep()\n                self._asked.clear()\n",
        (SWEEPER + "what_is_asked_for_during_a_sweep_is_swept_after_it",),
    ),
    # -- the end -----------------------------------------------------------------------------------
    Mutation(
        "a stopping instance claims on",
        "kronii/instance/drain.py",
        "        self._scheduler.claiming = False\n",
        "",
        (STOP + "a_signal_drains",),
    ),
    Mutation(
        "a second signal is not heard",
        "kronii/instance/drain.py",
        "return self._signals.stops > 1 or bool(self._supervisor.failures)",
        "return bool(self._supervisor.failures)",
        (STOP + "a_second_signal_ends_what_runs_and_a_peer_runs_it_again",),
    ),
    Mutation(
        "runs are not ended when the drain is over",
        "kronii/instance/drain.py",
        "        if self._inflight.runs:\n            self._end_runs()\n",
        "",
        (STOP + "the_drain_has_an_end",),
    ),
    Mutation(
        "a thread that a job has left behind keeps the process",
        "kronii/instance/leaving.py",
        "    if runs or threads:\n",
        "    if runs:\n",
        (
            LEAVING + "threads_that_jobs_have_left_are_named_and_end_with_the_process",
            LEAVING + "what_the_caller_would_say_is_in_the_log",
        ),
    ),
    Mutation(
        "workers that are about to end are taken for a job's threads",
        "kronii/instance/leaving.py",
        "        thread.join(max(0.0, until - time.monotonic()))\n",
        "        pass\n",
        (LEAVING + "a_thread_that_ends_soon_is_waited_for",),
    ),
    Mutation(
        "a job's callback at the end keeps the process",
        "kronii/instance/leaving.py",
        "    _end_in_any_case(status)\n",
        "",
        (
            LEAVING + "a_callback_at_the_end_keeps_no_process",
            STOP + "what_blocks_when_no_thread_runs_any_more_is_ended_by_the_system",
        ),
    ),
    Mutation(
        "runs end with the lease and nobody says so",
        "kronii/instance/timekeeper.py",
        '        log.warning("run ended: the lease is over", job=job, run=run_id)\n',
        "        pass\n",
        (TIMEKEEPER + "what_ends_with_the_lease_is_said_once",),
    ),
    Mutation(
        "each try in an outage is a line of the log",
        "kronii/instance/repeats.py",
        "        if reason in self._said:\n",
        "        if False:\n",
        (
            REPEATS + "a_reason_is_said_once_and_again_after_a_minute",
            RECORDER + "an_outage_is_said_once_for_each_reason",
            RECORDER + "a_timeout_that_waits_for_the_database_is_said_once",
        ),
    ),
    Mutation(
        "an outage that lasts is said only once",
        "kronii/instance/repeats.py",
        " if now - at < EVERY}",
        "}",
        (REPEATS + "a_reason_is_said_once_and_again_after_a_minute",),
    ),
    Mutation(
        "the next outage is no news",
        "kronii/instance/writer.py",
        "                self._waiting.over()\n",
        "",
        (RECORDER + "an_outage_is_said_once_for_each_reason",),
    ),
    Mutation(
        "at the end outcomes are said to wait for a closed pool",
        "kronii/instance/writer.py",
        "if not self.gave_up and self._waiting",
        "if self._waiting",
        (RECORDER + "after_it_has_given_up_nothing_is_said_of_a_closed_pool",),
    ),
    Mutation(
        "at the end timeouts are said to wait for a closed pool",
        "kronii/instance/recorder.py",
        "if not self._writer.gave_up and self._announcing",
        "if self._announcing",
        (RECORDER + "after_it_has_given_up_nothing_is_said_of_a_closed_pool",),
    ),
    Mutation(
        "who holds the table that an instance waits for is not named",
        "kronii/instance/outage.py",
        "self.reason = self._named(error)",
        "self.reason = str(error)",
        (CONNECTOR + "an_outage_by_a_lock_names_who_holds_it",),
    ),
    # -- reloads -----------------------------------------------------------------------------------
    Mutation(
        "a reload that is asked for while one begins is forgotten",
        "kronii/instance/reload.py",
        "        self._attempt = attempt\n",
        "        self._attempt, self._wanted = attempt, False\n",
        (RELOAD + "who_asks_while_a_reload_begins_is_answered_by_the_next",),
    ),
    Mutation(
        "a reload that hangs keeps the next one waiting",
        "kronii/instance/reload.py",
        "GIVE_WAY_AFTER if self._wanted else READ_WITHIN",
        "READ_WITHIN",
        (RELOAD + "one_that_hangs_gives_way_to_the_next",),
    ),
    Mutation(
        "a reload that was given up registers a file that is stale by then",
        "kronii/instance/reload.py",
        "        if not attempt.settle():\n            return\n        try:",
        "        try:",
        (RELOAD + "what_comes_of_one_that_was_given_up_is_thrown_away",),
    ),
    Mutation(
        "a reload that waits for the database is given up",
        "kronii/instance/reload.py",
        " or not attempt.settle():\n            return\n        self._attempt = None",
        ":\n            return\n        self._attempt = None",
        (RELOAD + "one_that_waits_for_the_database_is_not_given_up",),
    ),
    Mutation(
        "each reload that hangs holds a thread more",
        "kronii/instance/reload.py",
        "        if len(self._hanging) >= MOST_HANGING:\n",
        "        if False:\n",
        (RELOAD + "not_more_hang_than_a_few",),
    ),
    # -- a server that refuses ---------------------------------------------------------------------
    Mutation(
        "what the server refuses is said again with each statement",
        "kronii/instance/connector.py",
        "refusal = self._refusal() if self.refused else None",
        "refusal = None",
        (CONNECTOR + "a_refusal_is_said_once_and_tried_in_full_before_the_work_goes_on",),
    ),
    Mutation(
        "a refusal is asked about as often as an outage",
        "kronii/instance/outage.py",
        "patient = self.refused and not working",
        "patient = False",
        (CONNECTOR + "a_refusal_is_not_asked_again_soon_unless_there_is_work_to_keep",),
    ),
    Mutation(
        "texts of runs are thrown away for a right that is missing",
        "kronii/instance/writer.py",
        "        except DatabaseRefusal:  # it is not about these outcomes\n            raise\n",
        "",
        (RECORDER + "a_refusal_of_the_statement_costs_no_text_and_is_said_once",),
    ),
)
