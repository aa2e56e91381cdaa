"""Which ticks were owed, and what an audit makes of a record."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.mutations.mutation import Mutation

LEGS, RESETS, ACCOUNTS, ATTEMPTS, STORY, STANDING, JUDGING, CASES = (
    f"kronii/auditing/{name}.py"
    for name in (
        *("legs", "resets", "accounts", "attempts", "story", "standing", "judging", "cases"),
    )
)
BESIDE, TOLD = "kronii/auditing/beside.py", "kronii/auditing/told.py"
OWED, AUDIT_SQL = "kronii/commands/owed.py", "sql/audit.sql"
UNIT = "tests/unit/test_auditing.py::test_"
WHOLE, FAULT = UNIT + "of_a_whole_record_nothing_is_said", UNIT + "a_fault_is_named"
DATABASE = "tests/database/test_audit.py::test_"
SCHEDULE = "tests/unit/test_schedule_clock_changes.py::test_"

#: Fault, file, text, what stands there without the remedy, and the test that notices.
ROWS = (
    # -- when ticks were owed
    (
        "ticks of a pause are owed",
        LEGS,
        "for span in _without(whole, paused)",
        "for span in _without(whole, [])",
        WHOLE,
    ),
    (
        "ticks of a disabled time are owed",
        LEGS,
        "elif stretch.enabled and stretch.timing is not None:",
        "elif stretch.timing is not None:",
        WHOLE,
    ),
    (
        "another description begins another leg",
        RESETS,
        "        before.until == after.since\n",
        "        before.until == after.since and before is after\n",
        WHOLE,
    ),
    (
        "what was given up is lost",
        LEGS,
        "        settled = _before(record, Span(span.after, until), timing, stands[0])\n",
        "        settled = until\n",
        WHOLE,
    ),
    (
        "what a job gave up takes what it stood for with it no more",
        LEGS,
        "    if missed <= 0:\n        return tick - INSTANT\n",
        "    return tick - INSTANT\n",
        WHOLE,
    ),
    (
        "a run that was in progress moves a paused job on, and is no tick",
        LEGS,
        "else max(until, min(stood_at - INSTANT, seen))",
        "else until",
        WHOLE,
    ),
    (
        "what is due is lost",
        LEGS,
        "    return job.next_run, window.now\n",
        "    return None, window.now\n",
        WHOLE,
    ),
    (
        "ticks of other zone rules are judged",
        LEGS,
        "rules_since(record) or window.start - INSTANT",
        "window.start - INSTANT",
        WHOLE,
    ),
    (
        "ticks of the fleet's zone rules are judged by those of this host",
        RESETS,
        "        return NEVER  # other ones there than here\n",
        "        pass\n",
        UNIT + "what_can_t_be_judged_is_named",
    ),
    (
        "a definition that overlaps another one is in force beside it",
        LEGS,
        "    for stretch in _in_turn(record.stretches):\n",
        "    for stretch in record.stretches:\n",
        FAULT,
    ),
    # -- what became of them
    (
        "what one run stands for is lost",
        ACCOUNTS,
        "    if before > missed:\n",
        "    if before:\n",
        WHOLE,
    ),
    (
        "a run stands for as many as it likes",
        ACCOUNTS,
        "elif before < missed and not _reaches_back(",
        "elif False and not _reaches_back(",
        FAULT,
    ),
    (
        "a run of no tick is as good as one",
        ACCOUNTS,
        "    found.strays += sorted(there.difference(owed))\n",
        "",
        FAULT,
    ),
    (
        "runs outside of every leg are not seen",
        JUDGING,
        "    return strays.union(case.points[cursor:])\n",
        "    return strays\n",
        FAULT,
    ),
    (
        "a tick is walked to",
        ACCOUNTS,
        "    owed = leg.timing.listed(cursor, last)\n",
        "    owed = [(t - moment(0)) // INSTANT for t in leg.timing.between(cursor, last)]\n",
        UNIT + "a_day_of_seconds_is_not_walked",
    ),
    (
        "two plain runs of a tick are one",
        CASES,
        "    if len(once) < len(record.plain):\n",
        "    if False:\n",
        FAULT,
    ),
    (
        "a tick is run again after its success",
        ATTEMPTS,
        'if run.outcome in ("success", "skipped") or run.attempt == following.attempt:',
        "if run.attempt == following.attempt:",
        FAULT,
    ),
    (
        "an attempt is missing",
        ATTEMPTS,
        "    if max(attempts) > len(attempts):\n",
        "    if False:\n",
        FAULT,
    ),
    (
        "a run that nobody runs",
        ATTEMPTS,
        "        if run.id != running:\n",
        "        if False:\n",
        FAULT,
    ),
    (
        "ticks are skipped under every catch_up",
        JUDGING,
        'if kept and ("none" if skipped else "latest") not in kept:',
        "if False:",
        FAULT,
    ),
    (
        "a run begins before its tick",
        ATTEMPTS,
        "    elif run.started_at < run.tick and not run.missed:\n",
        "    elif False:\n",
        FAULT,
    ),
    (
        "a run never begins",
        ATTEMPTS,
        '        if run.outcome != "skipped":\n',
        "        if False:\n",
        FAULT,
    ),
    (
        "what was moved on while it was claimed begins too early",
        ATTEMPTS,
        "run.started_at < run.tick and not run.missed:",
        "run.started_at < run.tick:",
        WHOLE,
    ),
    (
        "a run stands for less than none",
        ATTEMPTS,
        "    if run.missed < 0:\n",
        "    if False:\n",
        FAULT,
    ),
    (
        "two runs go on at once",
        BESIDE,
        "        if bisect_left(begun, ended - SLACK) - bisect_left(begun, began) > 1:\n",
        "        if False:\n",
        FAULT,
    ),
    (
        "a statement may not wait",
        BESIDE,
        "bisect_left(begun, ended - SLACK)",
        "bisect_left(begun, ended)",
        WHOLE,
    ),
    (
        "a run begins when it was due",
        BESIDE,
        "    brief = set(record.plain).difference(tick for tick, _, _ in record.long)\n",
        "    brief = set(record.plain)\n",
        WHOLE,
    ),
    (
        "a definition begins some seconds from its event",
        TOLD,
        "        if event.at > at or at not in ends:\n",
        "        if False:\n",
        FAULT,
    ),
    (
        "a definition behind a clock that was set back begins at a wrong moment",
        TOLD,
        "        if event.at > at or at not in ends:\n",
        "        if True:\n",
        WHOLE,
    ),
    (
        "a definition ends some seconds from its event",
        TOLD,
        "        if at != ends[at] + INSTANT:\n",
        "        if False:\n",
        FAULT,
    ),
    (
        "a definition in the history has another schedule",
        TOLD,
        "        if event is not None and not _is_told(event, stretch):\n",
        "        if False:\n",
        FAULT,
    ),
    # -- where a job stands
    (
        "next_run is where it likes",
        STANDING,
        "    if wrong is not None:\n",
        "    if False:\n",
        FAULT,
    ),
    (
        "splay is late",
        STANDING,
        "job.retry_at or tick + timedelta(seconds=current.splay)",
        "job.retry_at or tick",
        WHOLE,
    ),
    (
        "what waits behind a run is late as soon as that ends",
        STANDING,
        "max(begins, job.finished_at or begins) < late",
        "begins < late",
        WHOLE,
    ),
    (
        "what is late is a failure",
        "kronii/auditing/findings.py",
        "HARMLESS = frozenset({Verdict.LATE})",
        "HARMLESS = frozenset[Verdict]()",
        UNIT + "what_is_late_is_neither_lost_nor_wrong",
    ),
    (
        "what runs is late",
        STANDING,
        "    if job.run is not None:\n        return",
        "    if job.by_hand:\n        return",
        UNIT + "what_waits_for_something_says_for_what",
    ),
    # -- one story
    (
        "definitions begin without a word",
        STORY,
        '            yield at, "a definition whose beginning no event tells"\n',
        "            pass\n",
        FAULT,
    ),
    (
        "one event tells of two definitions",
        STORY,
        "            left.remove(min(near, key=lambda other: abs(other - at)))\n",
        "            pass\n",
        FAULT,
    ),
    (
        "a pause has no end",
        STORY,
        "    if job.paused_at is None and paused is not None:\n",
        "    if False:\n",
        FAULT,
    ),
    (
        "a pause comes from nowhere",
        STORY,
        "    elif job.paused_at is not None and paused is None",
        "    elif False and paused is None",
        FAULT,
    ),
    (
        "what was triggered need not run",
        STORY,
        '            yield asked, "triggered, and no run came of it"\n',
        "            pass\n",
        FAULT,
    ),
    (
        "the row says another thing than the definition",
        STORY,
        "    elif open_ones and not _is_of(job, open_ones[-1]):\n",
        "    elif False:\n",
        FAULT,
    ),
    (
        "a success may have a reason why it is none",
        "sql/queries.sql",
        " AND error IS NULL\n",
        "\n",
        DATABASE + "a_success_with_a_reason_is_named",
    ),
    # -- what is read
    (
        "an audit looks at what is written meanwhile",
        OWED,
        '        queries.run(connection, "snapshot")\n',
        "",
        DATABASE + "all_is_of_one_moment",
    ),
    (
        "a long history is cut off",
        OWED,
        '        queries.run(connection, "audit_limits", {"limit": LIMIT})\n',
        "",
        DATABASE + "a_long_history_may_take_its_time_but_not_for_ever",
    ),
    (
        "a lock of an audit's snapshot has no end",
        OWED,
        'LIMIT = "10min"\n',
        'LIMIT = "0"\n',
        DATABASE + "a_long_history_may_take_its_time_but_not_for_ever",
    ),
    (
        "moments that no calendar has break an audit",
        "sql/queries.sql",
        "     WHEN @moment > TIMESTAMP '9998-01-01' THEN TIMESTAMP '9998-01-01' ELSE @moment END\n",
        "     ELSE @moment END\n",
        DATABASE + "moments_that_no_calendar_has_break_no_audit",
    ),
    (
        "a splay that is no length breaks an audit",
        OWED,
        "return seconds if 0.0 <= seconds <= LONGEST_SPLAY else 0.0",
        "return seconds",
        DATABASE + "a_splay_that_is_no_length_breaks_none",
    ),
    (
        "details that somebody wrote break an audit",
        RESETS,
        "    return was if isinstance(was, dict) else {}\n",
        "    return was\n",
        DATABASE + "details_that_nobody_could_have_written_break_none",
    ),
    (
        "a moment that somebody wrote breaks an audit",
        RESETS,
        "    except ValueError:\n        return None\n",
        "    except KeyError:\n        return None\n",
        DATABASE + "details_that_nobody_could_have_written_break_none",
    ),
    (
        "runs that were long are brief",
        AUDIT_SQL,
        "AND finished_at > scheduled_for + @seconds(%(brief)s)",
        "AND finished_at < scheduled_for + @seconds(%(brief)s) AND false",
        DATABASE + "a_long_run_is_held_against_the_others",
    ),
    (
        "an instance of an earlier release came without an event",
        AUDIT_SQL,
        " FROM nodes AS n WHERE n.file IS NOT NULL\n",
        " FROM nodes AS n\n",
        DATABASE + "an_instance_came_of_which_no_event_tells",
    ),
    (
        "that an instance came is never forgotten",
        "kronii/auditing/fleet.py",
        "known = whole if instance.gone else",
        "known = True if instance.gone else",
        DATABASE + "an_instance_left_that_never_came",
    ),
    (
        "events are forgotten before the runs of their time",
        "sql/events.sql",
        "\n   AND old.at <= COALESCE((@oldest_run), old.at)\n",
        "\n",
        "tests/database/test_store.py::test_events_are_kept_until_the_runs_of_their_time_are_gone",
    ),
    (
        "runs are forgotten, and events that are older than those that are left stay",
        "kronii/database/store.py",
        "            while _forget_events(connection, values) == FORGET_BATCH:\n"
        "                pass\n",
        "",
        "tests/database/test_store.py::test_events_are_kept_until_the_runs_of_their_time_are_gone",
    ),
    (
        "what was forgotten is lost",
        OWED,
        "start = history if since is None else",
        "start = now - timedelta(days=1) if since is None else",
        DATABASE + "what_retention_has_cut_is_not_lost",
    ),
    (
        "runs are forgotten before the events of their time",
        "kronii/database/store.py",
        "                return events, after\n",
        "                pass\n",
        "tests/database/test_store.py::test_runs_are_kept_until_the_events_of_their_time_are_gone",
    ),
    (
        "runs by hand are ticks",
        OWED,
        '(by_hand if run.trigger == "manual" else grouped)[job].append(run)',
        "grouped[job].append(run)",
        DATABASE + "runs_by_hand_are_no_ticks",
    ),
    (
        "what was moved out of the window is not read",
        AUDIT_SQL,
        " WHERE scheduled_for >= %(start)s::timestamp OR started_at >= %(start)s::timestamp\n",
        " WHERE scheduled_for >= %(start)s::timestamp\n",
        DATABASE + "a_run_that_was_moved_to_before_the_history_is_named",
    ),
    (
        "what stands for others is plain",
        "sql/queries.sql",
        " AND missed = 0\n AND COALESCE(exit_code, 0) = 0",
        "\n AND COALESCE(exit_code, 0) = 0",
        DATABASE + "what_is_not_plain_is_read_by_itself",
    ),
    (
        "a schedule that was set anew skips ticks of the old one",
        "sql/outcomes.sql",
        "SELECT run_id FROM closed WHERE moved",
        "SELECT run_id FROM closed",
        "tests/database/test_store.py"
        "::test_a_job_whose_schedule_was_set_anew_skips_nothing_of_the_old_one",
    ),
    (
        "a listed day has the offset of another one",
        "kronii/schedule/counting.py",
        "    start = (datetime.combine(day, time()) - offset - _EPOCH) // INSTANT\n",
        "    start = (datetime.combine(day, time()) - _EPOCH) // INSTANT\n",
        SCHEDULE + "latest_counts_what_between_yields",
    ),
    (
        "what ran in the last seconds of a pause is explained by its end",
        JUDGING,
        'return time_of(resume.details, "next") or resume.at - TOGETHER',
        "return resume.at - TOGETHER",
        UNIT + "a_fault_is_named",
    ),
)


def _mutations() -> Iterator[Mutation]:
    for fault, file, old, new, test in ROWS:
        yield Mutation(fault, file, old, new, (test,))


MUTATIONS: tuple[Mutation, ...] = tuple(_mutations())
