"""Actions: what a run does.  `execute` is all that the workers know of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kronii.actions.command import run_command
from kronii.actions.functions import Context
from kronii.actions.host import Groups, Host
from kronii.actions.http import run_http
from kronii.actions.output import bounded
from kronii.actions.python import run_python
from kronii.actions.run import Run
from kronii.actions.shortage import NotBegun, put_off
from kronii.actions.sql import run_sql
from kronii.model import SUCCESS, Command, Http, PythonCall, Result, Sql

__all__ = ["Context", "Groups", "Host", "Run", "execute"]

#: What executes each kind of action, in the calling thread, and says how it ended.
RUNNERS: Mapping[type[Any], Callable[[Run, Any, Host], Result]] = {
    Command: run_command,
    PythonCall: run_python,
    Sql: run_sql,
    Http: run_http,
}


def execute(run: Run, host: Host) -> Result:
    """Do what the run's definition says, in the calling thread, and say how it ended.

    A job without an action is a no-op.
    """
    action = run.claim.definition.action
    if action is None:
        return SUCCESS
    try:
        return bounded(RUNNERS[type(action)](run, action, host))
    except NotBegun as error:
        return put_off(run, error)
