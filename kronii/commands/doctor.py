"""`kronii doctor`: whether everything is set up as an instance needs it."""

from __future__ import annotations

import argparse

from kronii.commands import session
from kronii.commands.arguments import Commands, add_command
from kronii.commands.output import print_json, say


def register(commands: Commands) -> None:
    """Add `doctor`."""
    add_command(
        commands,
        "doctor",
        doctor,
        "checks the set-up: file, port, limits, connection, pooling, schema, rights, server, clock",
        reads=True,
    )


def doctor(options: argparse.Namespace) -> int:
    """0 without problems, whatever warnings there are; otherwise the first problem's status."""
    from kronii.commands.checks import examine
    from kronii.commands.grades import Grade

    checks = list(examine(session.settings()))
    if options.json:
        published = [
            {"check": check.name, "grade": check.grade.value, "says": check.says}
            for check in checks
        ]
        print_json({"checks": published})
    else:
        for check in checks:
            say(f"{check.grade.value:<8} {check.name:<12} {check.says}")
    return next((check.status for check in checks if check.grade is Grade.PROBLEM), 0)
