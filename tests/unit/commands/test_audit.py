"""What an audit prints: for people and for programs."""

from __future__ import annotations

from datetime import datetime, timedelta

from kronii.auditing import Audit, Problem, Unaccounted, Verdict, Waiting
from kronii.commands.audit import document, lines

NOON = datetime(2026, 3, 1, 12)
MINUTE = timedelta(minutes=1)

LOST = Problem("a", NOON, Verdict.LOST, "no outcome", runs=(7, 9), more=3)
LATE = Problem("b", NOON, Verdict.LATE, "overdue", "no instance is live")
WAITING = (
    Waiting("b", NOON, "worker", None, 4),
    Waiting("c", NOON, "running", NOON + MINUTE, 1),
    Waiting("d", NOON, "running", NOON),
    Waiting("e", NOON, "retry", NOON + MINUTE),
    Waiting("f", NOON, "by hand", NOON, 2),
    Waiting("g", NOON, "splay", NOON + MINUTE),
)
UNACCOUNTED = (
    Unaccounted("a", NOON - 9 * MINUTE, NOON - 5 * MINUTE, "its history was cut"),
    Unaccounted("b", NOON - 8 * MINUTE, NOON - 5 * MINUTE, "its history was cut"),
    Unaccounted("b", NOON - 5 * MINUTE, NOON, "the rules of its time zone changed"),
)


def test_people_are_told_what_is_wrong_then_what_waits_then_what_is_not_known() -> None:
    found = Audit(NOON - 5 * MINUTE, NOON, 7, 1, (LOST, LATE), WAITING, UNACCOUNTED)
    assert list(lines(found)) == [
        "2026-03-01T12:00:00Z  a: no outcome, and 3 ticks after it",
        "2026-03-01T12:00:00Z  b: overdue (no instance is live)",
        "2026-03-01T12:00:00Z  c: runs since 2026-03-01T12:01:00Z, and 1 tick behind it",
        "2026-03-01T12:00:00Z  e: waits for its retry at 2026-03-01T12:01:00Z",
        "2026-03-01T12:00:00Z  f: waits for a run by hand, which goes on since"
        " 2026-03-01T12:00:00Z, and 2 ticks behind it",
        "unaccounted before 2026-03-01T11:55:00Z: 2 jobs, its history was cut",
        "unaccounted before 2026-03-01T12:00:00Z: b, the rules of its time zone changed",
        "1 tick of 7 jobs since 2026-03-01T11:55:00Z, 2 problems: 4 lost, 1 late",
    ]


def test_of_nothing_one_line_is_said() -> None:
    assert list(lines(Audit(NOON, NOON, 1, 2))) == [
        "2 ticks of 1 job since 2026-03-01T12:00:00Z, 0 problems"
    ]


def test_programs_are_told_all() -> None:
    found = Audit(NOON, NOON, 7, 1, (LOST,), WAITING[:1], UNACCOUNTED[:1])
    assert document(found) == {
        "since": "2026-03-01T12:00:00Z",
        "history_since": "2026-03-01T12:00:00Z",
        "sound": False,
        "jobs": 7,
        "ticks": 1,
        "verdict": {"lost": 4, "doubled": 0, "moved": 0, "changed": 0, "late": 0},
        "problems": [
            {
                "job": "a",
                "scheduled_for": "2026-03-01T12:00:00Z",
                "verdict": "lost",
                "problem": "no outcome",
                "says": "",
                "runs": [7, 9],
                "more": 3,
            }
        ],
        "waiting": [
            {
                "job": "b",
                "scheduled_for": "2026-03-01T12:00:00Z",
                "state": "worker",
                "when": None,
                "more": 4,
            }
        ],
        "unaccounted": [
            {
                "job": "a",
                "from": "2026-03-01T11:51:00Z",
                "until": "2026-03-01T11:55:00Z",
                "why": "its history was cut",
            }
        ],
    }
