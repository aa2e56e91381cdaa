"""Below all packages: logs, lease, schedule, catch-up."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

BAD = "tests/unit/test_definitions_bad.py::test_"
FIELDS = "tests/unit/test_schedule_fields.py::test_"
FILES = "tests/unit/test_files.py::test_"
ZONES = "tests/unit/test_zone_rules.py::test_"
ADDRESS = "tests/unit/test_address.py::test_"
ISOLATION = "tests/unit/test_isolation.py::test_"
OWNERSHIP = "tests/unit/test_ownership.py::test_"
SECRECY = "tests/unit/test_secrecy.py::test_"
VISIBLE = "tests/unit/test_visible.py::test_"

MUTATIONS = (
    Mutation(
        "a full disk under the log stops the scheduler",
        "kronii/logs/handler.py",
        "        except (OSError, ValueError):",
        "        except MemoryError:",
        (
            "tests/chaos/test_host.py::test_a_full_disk_under_the_log",
            "tests/unit/test_logs.py::test_a_full_disk_loses_lines_and_counts_them",
        ),
    ),
    Mutation(
        "a stopped reader of the log stops the scheduler",
        "kronii/logs/handler.py",
        "if self._poll is not None and not self._poll.poll(",
        "if False and not self._poll.poll(",
        ("tests/unit/test_logs.py::test_a_reader_that_stopped_stops_nobody",),
    ),
    # -- schedule ----------------------------------------------------------------------------------
    Mutation(
        "steps of a range are not counted over its field's end",
        "kronii/schedule/fields.py",
        "length = last - first if last >= first else (last - first) % size",
        "length = abs(last - first)",
        (FIELDS + "every_range_with_every_step", FIELDS + "seven_is_sunday_wherever_it_stands"),
    ),
    Mutation(
        "the last item of a list hides the others",
        "kronii/schedule/reading.py",
        "named.numbers |= _numbers(kind, item)",
        "named.numbers = set(_numbers(kind, item))",
        (FIELDS + "an_expressions_field", FIELDS + "lists_as_croniter_reads_them"),
    ),
    Mutation(
        "jobs with an H move to other minutes",
        "kronii/schedule/reading.py",
        "hash_id=seed.encode()",
        'hash_id=b"job"',
        (FIELDS + "jobs_keep_the_place_that_their_name_gave_them",),
    ),
    Mutation(
        "an expression has no end",
        "kronii/schedule/fields.py",
        "    if len(cron) > LONGEST_EXPRESSION:\n",
        "    if False:\n",
        (FIELDS + "an_expression_has_its_bounds",),
    ),
    Mutation(
        "2W on a Saturday is taken for the month's first day",
        "kronii/schedule/days.py",
        "return day - 1 if day > 1 else day + 2",
        "return day - 1 if day > 2 else day + 2",
        ("tests/unit/test_schedule.py::test_the_nearest_weekday_in_months_of_every_shape",),
    ),
    Mutation(
        "a gap that begins at a tick's very minute is not told",
        "kronii/schedule/ticks.py",
        "missing = self.times.next(gap_start - INSTANT)",
        "missing = self.times.next(gap_start)",
        ("tests/unit/test_schedule_clock_changes.py::test_what_is_said_of_a_clock_change",),
    ),
    Mutation(
        "a clock that counts leap seconds is taken for the wall's",
        "kronii/schedule/zones.py",
        "    if counts_leap_seconds(name):\n",
        "    if False:\n",
        (ZONES + "a_clock_that_counts_leap_seconds_is_refused",),
    ),
    Mutation(
        "zone rules are those of the start for ever",
        "kronii/schedule/zoned.py",
        "    zoneinfo.ZoneInfo.clear_cache()\n",
        "",
        (
            ZONES + "new_schedules_follow_new_rules_and_old_ones_keep_theirs",
            "tests/e2e/test_reload.py::test_new_zone_rules_move_the_next_tick",
        ),
    ),
    Mutation(
        "the same rules in another file are taken for others",
        "kronii/schedule/zones.py",
        '        changes = ";".join(',
        '        changes = str(self._info) and str(id(self)) + ";".join(',
        (ZONES + "the_same_rules_in_another_file",),
    ),
    # -- files and settings ------------------------------------------------------------------------
    Mutation(
        "a pipe that takes a file's place is waited for",
        "kronii/files.py",
        "os.O_RDONLY | os.O_NONBLOCK |",
        "os.O_RDONLY |",
        (FILES + "a_pipe_that_takes_a_files_place_is_not_waited_for",),
    ),
    Mutation(
        "devices and pipes are read as files",
        "kronii/files.py",
        "    if kind != stat.S_IFREG:\n",
        "    if False:\n",
        (FILES + "what_is_no_regular_file",),
    ),
    Mutation(
        "a file without an end fills the memory",
        "kronii/files.py",
        "        if len(content) > limit:\n",
        "        if False:\n",
        (FILES + "no_more_is_read_than_the_limit", FILES + "a_file_without_an_end"),
    ),
    Mutation(
        "an empty value in .env is a wrong one",
        "kronii/settings/settings.py",
        "for name, text in dotenv.items() if text}",
        "for name, text in dotenv.items()}",
        ("tests/unit/test_settings.py::test_an_empty_value_in_dotenv_counts_as_unset",),
    ),
    Mutation(
        "a terminal obeys what others have written",
        "kronii/visible.py",
        "    return UNSAFE.sub(_written_out, text)\n",
        "    return text\n",
        (
            VISIBLE + "what_is_obeyed_is_written_out",
            VISIBLE + "nothing_is_obeyed",
            "tests/unit/commands/test_terminal.py::test_sentences_and_documents_are_never_raw",
            "tests/unit/test_pages.py::test_a_reason_is_one_line_that_no_terminal_obeys",
        ),
    ),
    Mutation(
        "a terminal obeys a report of several lines",
        "kronii/visible.py",
        "    return _UNSAFE_IN_LINES.sub(_written_out, text)\n",
        "    return text\n",
        (
            VISIBLE + "lines_and_tabs_of_a_text_of_several_lines_stay",
            "tests/unit/commands/test_terminal.py::test_what_is_refused_is_not_obeyed",
            "tests/unit/commands/test_terminal.py::test_a_bugs_traceback_is_not_obeyed",
        ),
    ),
    Mutation(
        "a terminal obeys a JSON document",
        "kronii/visible.py",
        "    return _UNSAFE_IN_LINES.sub(_as_json, document)\n",
        "    return document\n",
        (
            VISIBLE + "a_json_document_means_the_same",
            "tests/unit/test_logs.py::test_nothing_that_a_terminal_obeys_is_written_raw",
        ),
    ),
    Mutation(
        "a terminal obeys a log's value",
        "kronii/logs/formats.py",
        "    if _PLAIN.fullmatch(text) and not visible.UNSAFE.search(text):\n",
        "    if _PLAIN.fullmatch(text):\n",
        ("tests/unit/test_logs.py::test_nothing_that_a_terminal_obeys_is_written_raw",),
    ),
    Mutation(
        "a run's output is raw on a terminal",
        "kronii/commands/output.py",
        "    sys.stdout.write(text if raw or not sys.stdout.isatty() else visible.lines(text))\n",
        "    sys.stdout.write(text)\n",
        (
            "tests/unit/commands/test_terminal.py::"
            "test_a_runs_output_is_raw_where_no_terminal_obeys_it_or_it_is_asked_for",
        ),
    ),
    Mutation(
        "an address that libpq refuses is shown",
        "kronii/address/masking.py",
        "    except ValueError:\n        return MASK\n",
        "    except ValueError:\n        return url\n",
        (ADDRESS + "no_password_is_shown",),
    ),
    Mutation(
        "half of a password is taken for a database",
        "kronii/address/checking.py",
        '    if "@" in path or ("@" in query and not user):\n',
        "    if False:\n",
        (ADDRESS + "no_password_is_shown",),
    ),
    Mutation(
        "libpq's words repeat a word of what it refuses",
        "kronii/address/checking.py",
        '    return f"invalid connection option: {mean}"\n',
        "    return words\n",
        (ADDRESS + "no_password_is_shown",),
    ),
    Mutation(
        "a keyword that nobody knows is harmless",
        "kronii/address/masking.py",
        "    return pair[0] if pair[1] in _SHOWN else",
        '    return pair[0] if pair[1] != "password" else',
        (ADDRESS + "no_password_is_shown",),
    ),
    Mutation(
        "a wrong value is shown whatever it is",
        "kronii/settings/settings.py",
        "repr(MASK if hidden else without_secrets(text))",
        "repr(text)",
        (
            "tests/unit/test_settings.py::test_the_password_is_never_shown",
            "tests/unit/test_settings.py::test_a_secret_in_the_wrong_variable_is_not_shown",
        ),
    ),
    Mutation(
        "an address in the wrong variable is taken and shown",
        "kronii/settings/settings.py",
        "    if not variable.secret and looks_like_address(text):\n",
        "    if False:\n",
        ("tests/unit/test_settings.py::test_no_other_variable_takes_or_shows_an_address",),
    ),
    Mutation(
        "an address among a command's arguments is repeated",
        "kronii/commands/arguments.py",
        "        if looks_like_address(argument):\n",
        "        if False:\n",
        ("tests/unit/commands/test_main.py::test_an_address_among_the_arguments_is_not_shown",),
    ),
    Mutation(
        "half of a password is shown as a user",
        "kronii/address/masking.py",
        "    if any(misplaced(parts)):\n",
        "    if False:\n",
        (ADDRESS + "a_password_in_a_part_that_is_shown",),
    ),
    Mutation(
        "a server's words repeat half of a password as a user",
        "kronii/database/connections.py",
        ", *misplaced(parts))",
        ",)",
        (ADDRESS + "a_password_in_a_part_that_is_shown",),
    ),
    Mutation(
        "a sentence on a jobs file names who is in an address",
        "kronii/definitions/problems.py",
        "    message = without_userinfo(message[: 10 * _LONGEST])\n",
        "",
        (BAD + "a_secret_in_a_line_whose_values_are_shown_is_not",),
    ),
    Mutation(
        "a report shows what looks like a secret in a line of the file",
        "kronii/definitions/source.py",
        "heapq.merge(self._hidden_from(number, start), loose)",
        "self._hidden_from(number, start)",
        (BAD + "a_secret_in_a_line_whose_values_are_shown_is_not",),
    ),
    Mutation(
        "a service's password stays behind",
        "kronii/address/completing.py",
        '            os.environ["PGSERVICE"] = service\n',
        "            pass\n",
        (ADDRESS + "a_services_values_are_in_the_address",),
    ),
    Mutation(
        "everybody looks into the instance",
        "kronii/secrecy.py",
        "    _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)\n",
        "",
        (
            SECRECY + "nobody_looks_into_it_and_its_environment_stays_as_it_is",
            "tests/e2e/test_secrecy.py::test_a_job_of_the_same_user_finds_nothing_at_all",
        ),
    ),
    Mutation(
        "the address stays in the environment that was handed over",
        "kronii/secrecy.py",
        '        ctypes.memset(handed, ord("*"), len(value))\n',
        "        pass\n",
        (
            SECRECY + "nobody_looks_into_it_and_its_environment_stays_as_it_is",
            "tests/e2e/test_secrecy.py::test_the_address_is_in_no_environment_and_no_argument",
        ),
    ),
    Mutation(
        "libpq's variables are handed to jobs",
        "kronii/secrecy.py",
        "    return name in PRIVATE or name.startswith(PRIVATE_PREFIX)\n",
        "    return name in PRIVATE\n",
        (
            SECRECY + "what_leads_to_the_database_is_not_for_jobs",
            "tests/e2e/test_secrecy.py::test_the_address_is_in_no_environment_and_no_argument",
            "tests/e2e/test_secrecy.py::test_a_forgotten_address_reaches_no_function_either",
        ),
    ),
    Mutation(
        "the working directory comes first",
        "kronii/__main__.py",
        "isolation.leave_directory()\n",
        "",
        (
            ISOLATION + "no_command_runs_what_lies_in_its_directory",
            "tests/e2e/test_secrecy.py::test_nothing_in_the_directory_runs_in_place_of_ours",
        ),
    ),
    Mutation(
        "the working directory comes before ours for python jobs",
        "kronii/isolation.py",
        "    sys.path.append(_here())\n",
        "    sys.path.insert(0, _here())\n",
        (ISOLATION + "the_directory_is_left_and_comes_last",),
    ),
    Mutation(
        "a library looks in the working directory for what it lacks",
        "kronii/isolation.py",
        "            sys.modules[name] = None  # type: ignore[assignment]\n",
        "            pass\n",
        (ISOLATION + "what_is_looked_for_in_vain_is_not_found_there",),
    ),
    Mutation(
        "root runs what others decide",
        "kronii/ownership.py",
        "    if os.geteuid() == 0:\n",
        "    if False:\n",
        (
            OWNERSHIP + "what_others_may_write",
            OWNERSHIP + "root_takes_no_settings_from_others",
            "tests/e2e/test_secrecy.py::test_root_runs_nothing_that_others_decide",
        ),
    ),
    Mutation(
        "a file is as safe as its own mode",
        "kronii/ownership.py",
        "        wrong = _wrong_directory(path.resolve().parent)\n",
        "        pass\n",
        (OWNERSHIP + "a_file_can_be_replaced_by_whoever_may_write_its_directory",),
    ),
    Mutation(
        "what belongs to somebody else is taken",
        "kronii/ownership.py",
        "    if found.st_uid not in (0, os.geteuid()):\n",
        "    if False:\n",
        (OWNERSHIP + "what_belongs_to_somebody_else",),
    ),
)
