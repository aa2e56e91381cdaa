"""The keeper of an embedded PostgreSQL: a small process that starts postgres, and stops it when
nobody needs it.

`kronii.embedded` starts it and tells the whole story.

- It holds the lock `keeper` while it lives, and tries to get `users` exclusively: if it does, every
  user is gone, however it died.
- The kernel interrupts postgres if the keeper is killed (PR_SET_PDEATHSIG, which follows a thread:
  there is only one).
- As root postgres runs as nobody, in a folder that only nobody and root may enter: the socket lies
  there, so that `trust` trusts no other user.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from kronii import secrecy
from kronii.embedded.binaries import Account, binaries, usable
from kronii.errors import DatabaseUnavailable, KroniiError
from kronii.forks import die_with_parent

#: Settings of every server: no network, and nothing taken from the machine's time zone.
ALWAYS = {
    "listen_addresses": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "kronii-embedded",
}
#: Bytes that fit into `sockaddr_un.sun_path`, less the final zero (unix(7)).
SOCKET_PATH_LIMIT = 107
#: Seconds for initdb and start, crash recovery included; for a stop; and for each signal after one
#: that was not obeyed.
START_WITHIN, STOP_WITHIN, FORCED_STOP_WITHIN = 60.0, 20.0, 5.0
#: Seconds between two looks at a starting server, and between two at the users.
LOOK, WATCH = 0.02, 0.1
#: The database that is made beside `postgres`; also the name of the role.
NAME = "kronii"
#: What PostgreSQL does by itself from version 15 on: only its owner creates in a schema `public`.
OURS_ALONE = "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
#: How to stop: INT and QUIT mean the same as to a postmaster, TERM is what a stopping machine
#: sends.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
#: What postgres complains of while the processes of a killed predecessor are still ending.
PREDECESSOR = ("postmaster.pid", "shared memory block")


def open_lock(path: Path) -> int:
    """A descriptor for `flock`; children do not get it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def try_lock(fd: int, kind: int) -> bool:
    """Take the lock if that needs no waiting."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True)
class Keeper:
    """One server to keep."""

    #: The state directory, ours; `server/` in it is the account's.
    state: Path
    #: Who runs postgres.
    account: Account
    #: Server settings.
    settings: Mapping[str, str]

    @property
    def inner(self) -> Path:
        """The only folder that postgres writes to."""
        return self.state / "server"

    def run(self, linger: float) -> None:
        """Start postgres, say so, and stop it when it is told to, or `linger` seconds after the
        last user has gone.

        Raises:
            KroniiError: postgres can't be started.
        """
        users = open_lock(self.state / "users")
        folder, version = usable(binaries(), self.account, self.state)
        data = self.inner / f"data-{version}"
        if not data.is_dir():
            self._initialise(folder, data)
        sockets = self._socket_directory()
        postgres = self._start(folder, data, sockets)
        try:
            self._publish(postgres, sockets)
            how = _watch(postgres, users, linger)
        except BaseException:
            how = signal.SIGQUIT
            raise
        finally:
            (self.state / "url").unlink(missing_ok=True)
            _stop(postgres, how)
            if sockets != self.inner:
                shutil.rmtree(sockets, ignore_errors=True)

    def _initialise(self, folder: Path, data: Path) -> None:
        """Make the data directory under another name, and give it its own when it is whole."""
        scratch = data.with_suffix(".new")
        shutil.rmtree(scratch, ignore_errors=True)
        options = ["--no-locale", "--encoding=UTF8", "--auth=trust", f"--username={NAME}"]
        hurry = self.settings.get("fsync") == "off"
        options += ["--no-sync"] if hurry else []
        self._call([folder / "initdb", "-D", scratch, *options])
        single: list[str | Path] = [
            folder / "postgres",
            "--single",
            "-D",
            scratch,
            *(["-F"] if hurry else []),
            "template1",
        ]
        self._call(single, f"{OURS_ALONE}\nCREATE DATABASE {NAME}\n")
        os.rename(scratch, data)

    def _call(self, command: Sequence[str | Path], text: str = "") -> None:
        seen = _log_size()
        with self._spawned(command, subprocess.PIPE) as process:
            process.communicate(text.encode())
        if process.returncode:
            raise DatabaseUnavailable(f"{command[0]} failed: {self._last_words(seen)}")

    def _spawned(
        self, command: Sequence[str | Path], stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start a program as the account, with nothing of our environment, that dies with us."""
        keeper = os.getpid()

        def prepare() -> None:
            die_with_parent(signal.SIGINT, keeper)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])

        environment = {"PATH": os.defpath, "LC_ALL": "C"}
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=sys.stderr,
            env=environment,
            cwd=self.inner if not self.account.popen else "/",
            preexec_fn=prepare,
            **self.account.popen,
        )

    def _start(self, folder: Path, data: Path, sockets: Path) -> subprocess.Popen[bytes]:
        """Start postgres; wait for what a killed predecessor left, and until it takes
        connections.
        """
        settings = {**ALWAYS, "unix_socket_directories": f'"{sockets}"', **self.settings}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command: list[str | Path] = [folder / "postgres", "-D", data, *options]
        deadline = time.monotonic() + START_WITHIN
        while True:
            seen = _log_size()
            postgres = self._spawned(command)
            while postgres.poll() is None and time.monotonic() < deadline:
                if _is_ready(data, postgres.pid):
                    return postgres
                time.sleep(LOOK)
            _stop(postgres, signal.SIGQUIT)
            words = self._last_words(seen)
            if time.monotonic() > deadline or not any(sign in words for sign in PREDECESSOR):
                raise DatabaseUnavailable(f"the embedded PostgreSQL does not start: {words}")
            time.sleep(WATCH)

    def _last_words(self, seen: int) -> str:
        """What the log says since `seen` bytes: the line that says why, or the last one."""
        with open(self.state / "log", "rb") as log:
            log.seek(seen)
            lines = log.read().decode("utf-8", "replace").strip().splitlines() or [
                "it said nothing"
            ]
        return next(
            (line for line in lines if "FATAL" in line or "error:" in line), lines[-1]
        ).strip()

    def _socket_directory(self) -> Path:
        """Where the socket lies: `inner`, or where that is too long for a socket's path, a new
        short folder.
        """
        if len(os.fsencode(self.inner / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT:
            return self.inner
        short = Path(tempfile.mkdtemp(prefix="kronii-", dir="/tmp"))
        os.chown(short, self.account.uid, self.account.gid)
        return short

    def _publish(self, postgres: subprocess.Popen[bytes], sockets: Path) -> None:
        (self.state / "pids").write_text(f"{os.getpid()} {postgres.pid}\n", "ascii")
        url = f"postgresql:///{NAME}?host={quote(str(sockets), safe='/')}&user={NAME}"
        unfinished = self.state / "url.new"
        unfinished.write_text(url, "utf-8")
        unfinished.rename(self.state / "url")
        _close_stdout()


def _log_size() -> int:
    return os.fstat(sys.stderr.fileno()).st_size


def _is_ready(data: Path, pid: int) -> bool:
    """True once the postmaster's own file says that it takes connections (as pg_ctl waits for
    it).
    """
    try:
        lines = (data / "postmaster.pid").read_text("ascii", "replace").splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _watch(postgres: subprocess.Popen[bytes], users: int, linger: float) -> signal.Signals:
    """Wait until somebody stops us, postgres ends, or nobody needs it (`users` stays locked then).

    Returns how to stop it.
    """
    lonely_since: float | None = None
    while postgres.poll() is None:
        told = signal.sigtimedwait({*STOPPING, signal.SIGCHLD}, WATCH)
        if told and told.si_signo in STOPPING:
            return signal.SIGQUIT if told.si_signo == signal.SIGQUIT else signal.SIGINT
        if not try_lock(users, fcntl.LOCK_EX):
            lonely_since = None
            continue
        lonely_since = lonely_since or time.monotonic()
        if time.monotonic() - lonely_since >= linger:
            break
        fcntl.flock(users, fcntl.LOCK_UN)
    return signal.SIGINT


def _stop(postgres: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End postgres: as asked, then without a checkpoint, then at once; PostgreSQL recovers from
    each.
    """
    for number, seconds in (
        (how, STOP_WITHIN),
        (signal.SIGQUIT, FORCED_STOP_WITHIN),
        (signal.SIGKILL, FORCED_STOP_WITHIN),
    ):
        if postgres.poll() is None:
            postgres.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                postgres.wait(seconds)


def _close_stdout() -> None:
    """Tell who started us that we have said all, and let a pipe that it came from end."""
    sys.stdout.flush()
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())


def _complain(error: Exception, out: IO[str]) -> None:
    print(" ".join(str(error).split()), file=out)


def main(arguments: list[str]) -> None:
    """`python -m kronii.embedded.keeper STATE LINGER EPHEMERAL [NAME=VALUE...]`.

    Stdout ends once postgres is ready, or says why not.
    """
    state, linger, ephemeral = Path(arguments[0]), float(arguments[1]), arguments[2] == "1"
    secrecy.keep()
    if os.fork():  # nobody's child, so that nobody has to wait for it
        return
    os.chdir("/")
    signal.pthread_sigmask(signal.SIG_BLOCK, {*STOPPING, signal.SIGCHLD})
    lock = open_lock(state / "keeper")
    if not try_lock(lock, fcntl.LOCK_EX):
        return
    try:
        Keeper(state, Account.chosen(), dict(pair.split("=", 1) for pair in arguments[3:])).run(
            linger
        )
    except (KroniiError, OSError) as error:
        _complain(error, sys.stdout)
    finally:
        if ephemeral:
            shutil.rmtree(state, ignore_errors=True)
        os.close(lock)


if __name__ == "__main__":
    main(sys.argv[1:])
