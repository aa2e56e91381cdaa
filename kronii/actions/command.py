"""Commands: a process group of its own, bounded output, and an end that leaves nothing behind.

The worker waits for two things at once, without polling: what the job writes, and the end of its
main process (a pidfd).  It never waits for the end of the pipe, which grandchildren may hold for
ever.  A process is signalled only between its start and its reaping, so that a signal never meets
another's process id; what is left of its group when it ends is killed while its zombie still holds
the group's number.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from functools import cache

from kronii.actions.host import Host, encoded, identity
from kronii.actions.output import OUTPUT, Tail
from kronii.actions.run import Run
from kronii.durations import format_duration
from kronii.model import Command, Outcome, Result
from kronii.processes import members

#: Seconds that killed processes may take to be gone (one in the kernel's hands, waiting for a dead
#: disk, may take for ever).
DYING = 5.0
#: Bytes asked of the pipe at once.
CHUNK = 64 * 1024


def run_command(run: Run, command: Command, host: Host) -> Result:
    """Run a command to its end; called in the worker's thread."""
    reader, writer = os.pipe()
    try:
        process = _start(run, command, host, writer)
        host.groups.started(process.pid)
        try:
            output = _wait(run, process, reader)
        finally:
            _reap(run, process, host)
    except _NotStarted as error:
        return Result(Outcome.FAILED, error=str(error))
    finally:
        os.close(reader)
    return _result(run, process.returncode, output)


class _NotStarted(Exception):
    """The command could not be started; the message says why."""


def _start(run: Run, command: Command, host: Host, writer: int) -> subprocess.Popen[bytes]:
    """Start it with `writer`, which is closed here, as its output.

    What `subprocess` would do for each start is done beforehand where it can be: an encoded
    environment, an open /dev/null.  The interpreter's lock is held all the while, so this bounds
    the starts of all workers together.
    """
    definition = run.claim.definition
    own = {**dict(definition.env), **identity(run.claim, host.node), "KRONII_INSTANCE": host.mark}
    try:
        return subprocess.Popen(
            command.argv,
            stdin=_nothing(),
            stdout=writer,
            stderr=writer,
            cwd=definition.cwd,
            env={**host.encoded, **encoded(own)},
            start_new_session=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise _NotStarted(_reason(error, command, definition.cwd)) from error
    finally:
        os.close(writer)


@cache
def _nothing() -> int:
    """An empty input."""
    return os.open(os.devnull, os.O_RDONLY)


def _wait(run: Run, process: subprocess.Popen[bytes], reader: int) -> str | None:
    """Collect output until the main process has exited."""
    tail = Tail()
    pidfd = os.pidfd_open(process.pid)
    try:
        run.attach(
            lambda: _signal(process, signal.SIGTERM), lambda: _signal(process, signal.SIGKILL)
        )
        _collect(reader, pidfd, tail)
    finally:
        os.close(pidfd)
    return tail.text()


def _collect(fd: int, pidfd: int, tail: Tail) -> None:
    """Read until the process behind `pidfd` has exited, then what is in the pipe already."""
    os.set_blocking(fd, False)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(fd, select.POLLIN)
    exited = closed = False
    while not exited:
        ready = {found for found, _ in poll.poll()}
        exited = pidfd in ready
        if fd in ready and not closed and (closed := _read(fd, tail)):
            poll.unregister(fd)
    for _ in range(
        OUTPUT // CHUNK + 1
    ):  # a pipe holds no more; what is written after the exit is not the job's
        if closed or _read(fd, tail):
            return


def _read(fd: int, tail: Tail) -> bool:
    """Take what is in the pipe; True at its end."""
    try:
        data = os.read(fd, CHUNK)
    except BlockingIOError:
        return False
    tail.add(data)
    return not data


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal the whole group; a stopped one must go on to notice."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
        os.killpg(process.pid, signal.SIGCONT)


def _reap(run: Run, process: subprocess.Popen[bytes], host: Host) -> None:
    """End what is left of the group, then let its number go: off the board first, for it may be
    another's at once.
    """
    run.detach()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    host.groups.ended(process.pid)
    process.wait()
    _wait_for_the_dying(process.pid)


def _wait_for_the_dying(group: int) -> None:
    """What was left of the group has been killed, and may take a moment to go: the job's next run
    must not meet it.
    """
    give_up = time.monotonic() + DYING
    while _exists(group) and members([group]) and time.monotonic() < give_up:
        time.sleep(0.002)  # the kernel tells a process's end to its parent alone


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's by now, or of a program with other rights
        return True
    return True


def _result(run: Run, status: int, output: str | None) -> Result:
    """A status of 0 counts even where the end was under way: the work was done."""
    if status == 0:
        return Result(Outcome.SUCCESS, 0, None, output)
    code, how = (
        (status, f"exit status {status}")
        if status > 0
        else (128 - status, f"killed by {_signal_name(-status)}")
    )
    if run.reason is None:
        return Result(Outcome.FAILED, code, how, output)
    return Result(run.reason, code, f"{ending(run)} ({how})", output)


def ending(run: Run) -> str:
    """Why a run was ended from outside, as a sentence's part."""
    if run.reason is Outcome.TIMEOUT:
        return f"ended after its timeout of {format_duration(run.claim.definition.timeout)}"
    return "ended because the instance stopped or lost its lease"


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return f"signal {number}"


def _reason(error: Exception, command: Command, cwd: str | None) -> str:
    program = command.argv[0]
    if cwd is not None and not os.path.isdir(cwd):
        return f"not started: cwd {cwd} is not a directory here"
    if isinstance(error, FileNotFoundError):
        return f"not started: {program} not found"
    if isinstance(error, PermissionError):
        return f"not started: permission denied for {program} (is it executable?)"
    if isinstance(error, OSError) and error.errno == 8:  # ENOEXEC
        return (
            f"not started: {program} is no program: a script begins with a line such as #!/bin/sh"
        )
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"not started: {program}: {reason}"
