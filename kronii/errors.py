"""Every error that Kronii raises on purpose, with the exit status it ends a command with.

One root, `KroniiError`: the command line prints its message as one sentence and exits with
`exit_status`; anything else that escapes is a bug and keeps its traceback.  Drivers' errors are
converted at one border (`kronii.database`).
"""

from __future__ import annotations


class KroniiError(Exception):
    """Root of the errors that a user can meet; `str(error)` is the sentence to show."""

    #: Exit status of a command that ends with this error (docs/reference.md).
    exit_status = 1


class UsageError(KroniiError):
    """The command line asks for something that can't be asked."""

    exit_status = 2


class NotFound(KroniiError):
    """There is no such job or run."""

    exit_status = 3


class DatabaseUnavailable(KroniiError):
    """PostgreSQL can't be reached, or broke off the session; trying again may help."""

    exit_status = 69


class Contended(DatabaseUnavailable):
    """What a statement needs is locked by another session, which may let go of it at any time."""


class DatabaseError(KroniiError):
    """PostgreSQL refused a statement, and would refuse it again."""


class DatabaseRefusal(DatabaseError):
    """PostgreSQL refuses until somebody has mended what is set up there: rights, tables, a schema.

    It is no outage, so asking again soon does not help; and no fault of what was written.
    """

    exit_status = 78

    def __init__(self, said: str, remedy: str = "") -> None:
        """`said`: what was refused, in the server's words; `remedy`: what would mend it."""
        super().__init__(f"{said}: {remedy}" if remedy else said)
        self.said = said
        self.remedy = remedy


class AlreadyRunning(KroniiError):
    """The job is running, and a second run beside it is what Kronii never does."""

    exit_status = 75


class Busy(DatabaseUnavailable):
    """Somebody else is at what is wanted alone; trying again helps once they have gone."""

    exit_status = 75


class ConfigError(KroniiError):
    """A setting, a definition or the server's set-up is wrong; trying again can't help."""

    exit_status = 78


class DurationError(ValueError):
    """A text is not a duration; the message says what would be one."""


class ScheduleError(ValueError):
    """A cron expression or time zone is refused; the message says why and what would be right."""


class Hint(ValueError):
    """A value is not allowed, and the message says what the user may have meant."""
