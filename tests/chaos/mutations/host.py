"""A host that has no more to give, and what the unit gives and takes."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

DEPLOY = "tests/e2e/test_deploy.py::test_"
RELOAD = "tests/unit/test_reload.py::test_"
SHORTAGE = "tests/unit/test_shortage.py::test_"
SHORT_HOST = "tests/e2e/test_shortage.py::test_"
WORKERS = "tests/unit/test_workers.py::test_"

MUTATIONS = (
    # -- runs --------------------------------------------------------------------------------------
    Mutation(
        "a program is ended because others were faster to get a descriptor",
        "kronii/actions/group.py",
        "if not is_shortage(error) or time.monotonic() > give_up:",
        "if True:",
        (SHORTAGE + "the_descriptor_that_tells_of_its_end_is_waited_for",),
    ),
    Mutation(
        "a run that has ended is put off, and executed again",
        "kronii/actions/group.py",
        "    except OSError:  # there is no descriptor to look by: it may have\n",
        "    except MemoryError:\n",
        (SHORTAGE + "a_run_that_has_ended_is_not_put_off_for_what_is_short_then",),
    ),
    Mutation(
        "a statement without a descriptor for its session fails",
        "kronii/actions/sql.py",
        "if is_library_short(str(error)):",
        "if False:",
        (SHORTAGE + "a_statement_for_whose_session_there_is_no_descriptor_is_put_off",),
    ),
    Mutation(
        "a function fails whose process could not start its thread",
        "kronii/actions/runner.py",
        "    except RuntimeError as error:\n",
        "    except MemoryError as error:\n",
        (SHORTAGE + "an_isolated_process_that_has_no_thread_is_put_off",),
    ),
    Mutation(
        "a function fails whose process could not import it for the moment",
        "kronii/actions/runner.py",
        "        if is_shortage(error):\n",
        "        if False:\n",
        (SHORTAGE + "a_function_that_could_not_be_imported_is_put_off",),
    ),
    Mutation(
        "the kernel kills the instance rather than its job",
        "kronii/actions/group.py",
        "        prefer(process.pid)\n",
        "",
        (SHORTAGE + "the_kernel_prefers_a_job_to_its_instance",),
    ),
    # -- threads -----------------------------------------------------------------------------------
    Mutation(
        "a worker that is not there is a seat",
        "kronii/instance/workers.py",
        "            self._inflight.workers = self._there\n",
        "            pass\n",
        (WORKERS + "a_worker_that_can_not_be_started_is_no_seat",),
    ),
    Mutation(
        "workers are started when runs need them",
        "kronii/instance/workers.py",
        "        self._start_missing()\n        there, wanted",
        "        there, wanted",
        (WORKERS + "all_workers_are_there_before_the_first_run",),
    ),
    Mutation(
        "workers that were missing once stay away",
        "kronii/instance/workers.py",
        "        if _is_one_to_be_had():\n",
        "        if False:\n",
        (
            WORKERS + "without_any_thread_nothing_is_claimed",
            SHORT_HOST + "a_worker_that_can_not_be_started_is_no_seat",
        ),
    ),
    Mutation(
        "the loop ends over a thread that the executor wants",
        "kronii/instance/workers.py",
        "        except RuntimeError as error:  # a further thread;",
        "        except MemoryError as error:  # a further thread;",
        (WORKERS + "a_further_thread_that_the_executor_wants_costs_no_run",),
    ),
    Mutation(
        "the loop ends over a reload that finds no thread",
        "kronii/instance/reload.py",
        "        except RuntimeError as error:  # what was asked for",
        "        except MemoryError as error:  # what was asked for",
        (
            RELOAD + "without_a_thread_it_waits_and_is_not_forgotten",
            SHORT_HOST + "without_threads_and_processes",
        ),
    ),
    Mutation(
        "the loop ends where there is no descriptor for a session",
        "kronii/database/connections.py",
        "except (psycopg.Error, OSError) as error:  # the driver waits",
        "except psycopg.Error as error:  # the driver waits",
        (SHORTAGE + "a_session_without_a_descriptor_is_an_outage",),
    ),
    Mutation(
        "an instance that can't start shows a trace",
        "kronii/instance/service.py",
        "        if is_shortage(error):\n",
        "        if False:\n",
        (SHORTAGE + "what_is_short_at_the_start_is_a_sentence",),
    ),
    Mutation(
        "too little is not said before",
        "kronii/instance/service.py",
        "            if not room.suffices(self.settings.worker_count):\n",
        "            if False:\n",
        (SHORT_HOST + "a_worker_that_can_not_be_started_is_no_seat",),
    ),
    # -- the unit ----------------------------------------------------------------------------------
    Mutation(
        "systemd kills an instance that drains for long",
        "kronii/instance/drain.py",
        "        systemd.takes(timeout + AFTERWARDS)\n",
        "",
        (DEPLOY + "a_longer_drain_asks_systemd_for_its_time",),
    ),
    Mutation(
        "systemd starts for ever what can't start",
        "deploy/systemd/kronii@.service",
        "StartLimitIntervalSec=600\n",
        "StartLimitIntervalSec=0\n",
        (DEPLOY + "a_start_that_can_not_help_is_not_repeated_for_ever",),
    ),
    Mutation(
        "the strict unit takes from the guard what it needs",
        "deploy/systemd/kronii@.service.d/strict.conf",
        "PrivateMounts=yes\n",
        "PrivateMounts=yes\nProtectControlGroups=yes\n",
        (DEPLOY + "what_the_guard_needs_stays",),
    ),
)
