"""Actions: what a run does.  `execute` is all that the workers know of them."""

from __future__ import annotations

from kronii.actions.command import run_command
from kronii.actions.host import Groups, Host
from kronii.actions.http import run_http
from kronii.actions.python import Context, run_python
from kronii.actions.run import Run
from kronii.actions.sql import run_sql
from kronii.model import SUCCESS, Command, PythonCall, Result, Sql

__all__ = ["Context", "Groups", "Host", "Run", "execute"]


def execute(run: Run, host: Host) -> Result:
    """Do what the run's definition says, in the calling thread, and say how it ended.

    A job without an action is a no-op.
    """
    action = run.claim.definition.action
    if action is None:
        return SUCCESS
    if isinstance(action, PythonCall):
        return run_python(run, action, host)
    if isinstance(action, Command):
        return run_command(run, action, host)
    if isinstance(action, Sql):
        return run_sql(run, action, host)
    return run_http(run, action, host)
