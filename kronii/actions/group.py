"""Programs: a process group of its own, bounded output, and an end that leaves nothing behind.

The worker waits for two things at once, without polling: what the job writes, and the end of its
main process (a pidfd).  It does not wait for the end of the pipe, which grandchildren may hold for
ever.  A process is signalled only between its start and its reaping, so that a signal never meets
another process with the same id.  What is left of its group when it ends is killed before it is
reaped, because its zombie still holds the group's number.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from kronii.actions.host import Host, encoded, identity
from kronii.actions.output import OUTPUT_LIMIT, Tail
from kronii.actions.preference import prefer
from kronii.actions.run import Run
from kronii.actions.script import first_line_fault
from kronii.actions.shortage import NotBegun, is_shortage
from kronii.model import Definition
from kronii.processes import MARK_VARIABLE, group_exists, members, signal_group

#: Seconds that killed processes may take to be gone.  One that waits in the kernel for a dead disk
#: may take for ever.
GROUP_ENDS_IN = 5.0
#: Seconds within which a process that was started must have a descriptor that tells of its end.
WATCHED_WITHIN = 1.0
#: Bytes asked of the pipe at once.
CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Program:
    """What is started."""

    argv: tuple[str, ...]
    #: Its standard input; None: an empty one.
    stdin: int | None = None
    #: Further descriptors that it inherits.
    pass_fds: tuple[int, ...] = ()


class NotStarted(Exception):
    """The program could not be started; the message says why."""


def run_group(run: Run, program: Program, host: Host) -> tuple[int, str | None]:
    """Run a program to its end, in the worker's thread; returns its status, negative for a signal,
    and its output.

    Raises:
        NotStarted: this program can't be started here.
        NotBegun: nothing can be started here for the moment.
    """
    with _put_off_if_short(program):
        process, reader = _begin(run, program, host)
    try:
        host.groups.started(process.pid)
        prefer(process.pid)
        try:
            with _put_off_if_short(program):
                output = _wait(run, process, reader)
        finally:
            _reap(process, host)
    finally:
        os.close(reader)
    return process.returncode, output


def _begin(run: Run, program: Program, host: Host) -> tuple[subprocess.Popen[bytes], int]:
    """Start it; returns the process, and the end of the pipe that holds its output."""
    reader, writer = os.pipe()
    try:
        return _start(run, program, host, writer), reader
    except BaseException:
        os.close(reader)
        raise


@contextlib.contextmanager
def _put_off_if_short(program: Program) -> Iterator[None]:
    """What is short while a program is started has kept it from beginning.

    Raises:
        NotBegun: in place of what the system said.
    """
    try:
        yield
    except OSError as error:
        if is_shortage(error):
            raise NotBegun(f"{program.argv[0]}: {error.strerror}") from error
        raise


def _start(run: Run, program: Program, host: Host, writer: int) -> subprocess.Popen[bytes]:
    """Start it with `writer`, which is closed here, as its output.

    What `subprocess` would do for each start is done beforehand where it can be: an encoded
    environment, an open /dev/null.  The interpreter's lock is held all the while, so this bounds
    the starts of all workers together.
    """
    definition = run.claim.definition
    own = {**dict(definition.env), **identity(run.claim, host.node), MARK_VARIABLE: host.mark}
    try:
        return subprocess.Popen(
            program.argv,
            stdin=_empty_input() if program.stdin is None else program.stdin,
            stdout=writer,
            stderr=writer,
            cwd=definition.cwd,
            env={**host.encoded, **encoded(own)},
            pass_fds=program.pass_fds,
            start_new_session=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        if is_shortage(error):
            raise
        raise NotStarted(_why_not_started(error, program.argv, definition, host)) from error
    finally:
        os.close(writer)


@cache
def _empty_input() -> int:
    return os.open(os.devnull, os.O_RDONLY)


def _why_not_started(
    error: Exception, argv: tuple[str, ...], definition: Definition, host: Host
) -> str:
    program, cwd = argv[0], definition.cwd
    if cwd is not None and not os.path.isdir(cwd):
        return f"cwd {cwd} is not a directory here"
    if isinstance(error, PermissionError):
        return f"permission denied for {program} (is it executable?)"
    if fault := first_line_fault(argv, definition, host.environment):
        return fault
    if isinstance(error, FileNotFoundError):
        return f"{program} not found"
    if isinstance(error, OSError) and error.errno == errno.ENOEXEC:
        return f"{program} is no program: a script begins with a line such as #!/bin/sh"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{program}: {reason}"


# -- while it runs ---------------------------------------------------------------------------------


def _wait(run: Run, process: subprocess.Popen[bytes], reader: int) -> str | None:
    """Collect output until the main process has exited.

    From then on nothing reaches the run: what asks for its end after that comes too late to have
    caused it.
    """
    tail = Tail()
    pidfd = _pidfd(process)
    try:
        run.attach(
            lambda: _signal(process.pid, signal.SIGTERM),
            lambda: _signal(process.pid, signal.SIGKILL),
            lambda: _lives(pidfd),
        )
        _collect(reader, pidfd, tail)
    finally:
        run.detach()
        os.close(pidfd)
    return tail.text()


def _pidfd(process: subprocess.Popen[bytes]) -> int:
    """The descriptor that tells of its end.

    Its start needed more of them than it did, so there is one; unless another thread was faster.

    Raises:
        OSError: there is none, and so the process is to be ended at once.
    """
    give_up = time.monotonic() + WATCHED_WITHIN
    while True:
        try:
            return os.pidfd_open(process.pid)
        except OSError as error:
            if not is_shortage(error) or time.monotonic() > give_up:
                raise
        time.sleep(0.002)  # other threads hold theirs as briefly


def _lives(pidfd: int) -> bool:
    """True until the process has exited, even if nobody has read that from the pidfd yet: this
    whole instance may have been stopped meanwhile.
    """
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return not poll.poll(0)


def _signal(group: int, number: int) -> None:
    """Signal the whole group; one that is stopped must go on to notice."""
    signal_group(group, number)
    signal_group(group, signal.SIGCONT)


def _collect(reader: int, pidfd: int, tail: Tail) -> None:
    """Read until the process behind `pidfd` has exited, then what the pipe holds by then.

    A pipe holds at most OUTPUT_LIMIT; what a grandchild writes after the exit is not the job's.
    """
    os.set_blocking(reader, False)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(reader, select.POLLIN)
    exited = closed = False
    while not exited:
        ready = {fd for fd, _ in poll.poll()}
        exited = pidfd in ready
        if reader in ready and not closed and (closed := _read(reader, tail)):
            poll.unregister(reader)
    for _ in range(OUTPUT_LIMIT // CHUNK + 1):
        if closed or _read(reader, tail):
            return


def _read(reader: int, tail: Tail) -> bool:
    """Take what is in the pipe; True at its end."""
    try:
        data = os.read(reader, CHUNK)
    except BlockingIOError:
        return False
    tail.add(data)
    return not data


# -- the end ---------------------------------------------------------------------------------------


def _reap(process: subprocess.Popen[bytes], host: Host) -> None:
    """End what is left of the group, then let its number go.

    It leaves the board before that, for the number may be another group's at once.
    """
    signal_group(process.pid, signal.SIGKILL)
    host.groups.ended(process.pid)
    process.wait()
    _wait_for_end(process.pid)


def _wait_for_end(group: int) -> None:
    """Wait until the killed rest of a group has gone: the job's next run must not meet it."""
    give_up = time.monotonic() + GROUP_ENDS_IN
    while group_exists(group) and _has_members(group) and time.monotonic() < give_up:
        time.sleep(0.002)  # the kernel tells a process's end to its parent alone


def _has_members(group: int) -> bool:
    try:
        return bool(members([group]))
    except OSError:  # there is no descriptor to look by: it may have
        return True


def how_it_ended(status: int) -> tuple[int, str]:
    """A process's status as a shell gives it, and in words."""
    if status >= 0:
        return status, f"exit status {status}"
    return 128 - status, f"killed by {_signal_name(-status)}"


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return f"signal {number}"
