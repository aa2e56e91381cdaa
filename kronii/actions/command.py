"""Commands: a program as the file names it, whose exit status decides."""

from __future__ import annotations

from kronii.actions.endings import unless_ended
from kronii.actions.group import NotStarted, Program, how_it_ended, run_group
from kronii.actions.host import Host
from kronii.actions.run import Run
from kronii.actions.script import NOT_RUN, first_line_fault
from kronii.model import Command, Outcome, Result


def run_command(run: Run, command: Command, host: Host) -> Result:
    """Run a command to its end; called in the worker's thread."""
    try:
        status, output = run_group(run, Program(command.argv), host)
    except NotStarted as error:
        return Result(Outcome.FAILED, error=f"not started: {error}")
    code, how = how_it_ended(status)
    if code in NOT_RUN:
        fault = first_line_fault(command.argv, run.claim.definition, host.environment)
        how = f"{how}: {fault}" if fault else how
    outcome = Outcome.FAILED if status else Outcome.SUCCESS
    return unless_ended(run, Result(outcome, code, how if status else None, output))
