"""What runs, and how it is ended."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

COMMAND = "tests/unit/test_command.py::test_"
CONNECTING = "tests/unit/test_connecting.py::test_"
HTTP = "tests/unit/test_http.py::test_"
ISOLATED = "tests/unit/test_isolated.py::test_"
REDIRECTS = "tests/unit/test_redirects.py::test_"
SQL = "tests/database/test_sql_action.py::test_"
STREAMS = "tests/unit/test_streams.py::test_"

MUTATIONS = (
    Mutation(
        "a timeout ends the main process and misses its children",
        "kronii/actions/group.py",
        "    signal_group(group, number)\n",
        "    os.kill(group, number)\n",
        (COMMAND + "children_hear_the_term_themselves",),
    ),
    Mutation(
        "a daemon that holds the output keeps the worker",
        "kronii/actions/group.py",
        "        exited = pidfd in ready\n",
        "        exited = closed\n",
        (COMMAND + "a_grandchild_that_holds_the_pipe_is_ended_and_not_waited_for",),
    ),
    Mutation(
        "a function's BaseException is no failure of its own",
        "kronii/actions/functions.py",
        "    except BaseException as error:\n",
        "    except Exception as error:\n",
        ("tests/unit/test_python.py::test_what_is_no_exception_is_a_failure_too",),
    ),
    Mutation(
        "status 0 after TERM counts as success",
        "kronii/actions/endings.py",
        "    if run.reason is None or run.too_late:\n",
        "    if run.reason is None or run.too_late or result.outcome is Outcome.SUCCESS:\n",
        (COMMAND + "who_leaves_by_itself_when_it_gets_term_was_ended",),
    ),
    Mutation(
        "work that had ended by itself is taken for ended",
        "kronii/actions/group.py",
        "    return not poll.poll(0)\n",
        "    return True\n",
        (COMMAND + "work_that_had_ended_before_it_was_asked_keeps_its_result",),
    ),
    Mutation(
        "a statement that ends in the moment of its timeout is a success",
        "kronii/actions/sql.py",
        "        return unless_ended(run, Result(Outcome.SUCCESS, output=output.text()))\n",
        "        return Result(Outcome.SUCCESS, output=output.text())\n",
        (SQL + "a_success_in_the_very_moment_of_its_end_is_none",),
    ),
    Mutation(
        "a request whose packets are dropped outlives its end",
        "kronii/actions/connecting.py",
        "                os.eventfd_write(self._fd, 1)\n",
        "                pass\n",
        (CONNECTING + "a_request_whose_packets_are_dropped",),
    ),
    Mutation(
        "a session that does not come outlives its run's end",
        "kronii/actions/connecting.py",
        '                self._errand.abandon(Ended("while it connected"))\n',
        "                pass\n",
        (CONNECTING + "a_statement_whose_session_does_not_come",),
    ),
    Mutation(
        "a timeout counts for each address anew",
        "kronii/actions/connecting.py",
        "        share = (until - now) / (len(addresses) - number)\n",
        "        share = 5.0\n",
        (CONNECTING + "a_requests_timeout_counts_for_all_addresses_together",),
    ),
    Mutation(
        "a session that comes too late is left open",
        "kronii/actions/connecting.py",
        "            self._discard(result)\n",
        "            pass\n",
        (CONNECTING + "a_session_that_comes_too_late_is_closed",),
    ),
    Mutation(
        "a redirect hands the job's headers to anybody",
        "kronii/actions/request.py",
        "            headers = {}\n",
        "            pass\n",
        (REDIRECTS + "one_to_another_origin_takes_nothing_along",),
    ),
    Mutation(
        "a redirect hands the job's body to anybody",
        "kronii/actions/request.py",
        "    if body is not None:\n        raise NotFollowed",
        "    if False:\n        raise NotFollowed",
        (REDIRECTS + "a_body_goes_nowhere_else",),
    ),
    Mutation(
        "a redirect leads from https to http",
        "kronii/actions/request.py",
        'if scheme == "http" and',
        "if False and",
        (REDIRECTS + "one_from_https_to_http_is_not_followed",),
    ),
    Mutation(
        "a redirect that is expected is followed",
        "kronii/actions/http.py",
        "status in REDIRECTS and not _is_expected(action, status)",
        "status in REDIRECTS",
        (REDIRECTS + "one_that_is_expected_is_the_outcome",),
    ),
    Mutation(
        "an endless body is read for ever",
        "kronii/actions/http.py",
        "        left -= len(data)\n",
        "        pass\n",
        (HTTP + "an_endless_body_is_read_within_bounds",),
    ),
    Mutation(
        "an instance's name that is not Latin-1 fails its requests",
        "kronii/actions/request.py",
        "        return urllib.parse.quote(text, safe=_PLAIN)\n",
        "        return text\n",
        (HTTP + "whatever_the_instance_is_called_its_jobs_run",),
    ),
    Mutation(
        "an error repeats a secret of its request",
        "kronii/actions/http.py",
        "    if isinstance(cause, ValueError | http.client.InvalidURL):\n",
        "    if False:\n",
        (HTTP + "an_error_holds_no_secret",),
    ),
    Mutation(
        "a run that finds no descriptor has failed",
        "kronii/actions/shortage.py",
        "        return error.errno in SHORTAGES\n",
        "        return False\n",
        (COMMAND + "a_run_that_can_not_begin_is_put_off",),
    ),
    Mutation(
        "a run that can't begin is tried again without a pause",
        "kronii/catchup.py",
        "        return Transition(settled=False, delay=result.delay)\n",
        "        return Transition(settled=False)\n",
        (
            "tests/unit/test_catchup.py::test_a_run_that_could_not_begin_waits_before_it_is_tried"
            "_again",
        ),
    ),
    Mutation(
        "a run that can't begin counts as a failed one",
        "sql/outcomes.sql",
        "WHEN e.delay IS NOT NULL AND e.outcome <> 'interrupted'  -- put off\n",
        "WHEN e.delay IS NOT NULL\n",
        ("tests/database/test_store.py::test_a_run_that_could_not_begin_waits_and_is_no_failure",),
    ),
    Mutation(
        "an sql job's rows fill the memory",
        "kronii/actions/statement.py",
        "    _small_portions(session)\n",
        "",
        (SQL + "what_comes_back_does_not_fill_the_memory",),
    ),
    Mutation(
        "an error's text is as long as somebody likes",
        "kronii/actions/output.py",
        "    return replace(result, error=shortened(result.error))\n",
        "    return result\n",
        (SQL + "a_long_error_is_cut",),
    ),
    Mutation(
        "what a function writes as bytes is the instance's output",
        "kronii/actions/streams.py",
        "        self.buffer = SharedBuffer(stream)\n",
        "        self.buffer = stream.buffer\n",
        (STREAMS + "what_a_function_prints_is_its_runs",),
    ),
    Mutation(
        "a terminal obeys what nobody's run prints",
        "kronii/actions/streams.py",
        "self._stream.write(visible.lines(text))",
        "self._stream.write(text)",
        (
            STREAMS + "no_terminal_obeys_what_nobodys_run_prints",
            STREAMS + "no_terminal_obeys_the_trace_of_a_thread",
        ),
    ),
    Mutation(
        "a terminal obeys the bytes that nobody's run writes",
        "kronii/actions/streams.py",
        "self._stream.buffer.write(_visible(view))",
        "self._stream.buffer.write(view)",
        (
            STREAMS + "no_terminal_obeys_what_nobodys_run_prints",
            STREAMS + "what_is_no_text_is_written_out_and_all_of_it_counts",
        ),
    ),
    Mutation(
        "what a function's thread prints is the instance's output",
        "kronii/actions/streams.py",
        "        setattr(thread, _ATTRIBUTE, kept)\n    _start",
        "        pass\n    _start",
        (STREAMS + "what_a_function_prints_is_its_runs",),
    ),
    Mutation(
        "an isolated function does not hear that it is to stop",
        "kronii/actions/runner.py",
        "        stop.set()\n",
        "        pass\n",
        (ISOLATED + "term_sets_its_stop_event",),
    ),
    Mutation(
        "an isolated function imports what lies in its directory",
        "kronii/isolation.py",
        "sys.executable, flag, *bytecode,",
        "sys.executable, *bytecode,",
        (ISOLATED + "it_imports_from_where_the_instance_does_and_not_from_its_directory",),
    ),
    Mutation(
        "a script with line ends of Windows is said not to be there",
        "kronii/actions/script.py",
        '    if line.endswith(b"\\r"):\n',
        "    if False:\n",
        ("tests/unit/test_command.py::test_a_first_line_that_no_system_takes_is_named",),
    ),
    Mutation(
        "a dead instance's statement keeps its successor waiting for ever",
        "kronii/actions/sql.py",
        "        connection.execute(END_PREDECESSOR.format(key=key))\n",
        "",
        (
            "tests/database/test_sql_action.py::"
            "test_a_predecessor_whose_session_is_kept_open_is_ended",
        ),
    ),
)
