"""A PostgreSQL of one's own for `make run` and the tests: started when its first user comes, gone
when the last one is.

    make run ─▶ this module ── exec ─▶ kronii run     a user: holds `users` (flock) until it dies
                     └─ starts, if there is none ─▶ keeper ─▶ postgres

The state directory holds three locks, `url` (while the server is ready), `pids`, `log`, and
`server/` with the data:

- `users` is held by every user through a descriptor that survives `exec`, but is not handed on to
  children.
- `keeper` is held by the keeper (`kronii.embedded.keeper`) while it lives.
- `starting` lets one user at a time look whether a keeper lives, and start one.

Never used where DATABASE_URL is set, nor made for production.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from kronii import isolation, secrecy
from kronii.embedded.binaries import Account
from kronii.embedded.keeper import LOOK, NAME, START_WITHIN, STOP_WITHIN, open_lock, try_lock
from kronii.errors import ConfigError, DatabaseUnavailable

#: Settings of the shared server; the rest is PostgreSQL's default, durable commits included.
SHARED = {"max_connections": "200"}
#: Seconds for which the shared server outlives its last user: the user's guard says its last words,
#: and a restart is quick.
LINGER = 1.0
#: Bytes at which the log is begun anew.
LOG_LIMIT = 4 << 20
#: Where root's state directories lie, and those of working directories that can't be written to.
#: Their names are predictable, so `_own` checks whose they are.
_LASTING = Path("/var/tmp")  # noqa: S108
#: What the keeper is sent for each way of stopping; they mean to it what they mean to a postmaster.
STOP_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


@dataclass
class Server:
    """A handle on the server of a state directory.  The first user starts it, all share it, it ends
    after the last.
    """

    #: The state directory; if we are root, nobody must be able to pass its parents.
    directory: Path
    #: Server settings; those of the user who starts the server are in force.
    settings: Mapping[str, str] = field(default_factory=dict)
    #: Seconds for which the server outlives its last user.
    linger: float = 0.0
    #: The directory is removed when the server has ended because nobody used it.
    ephemeral: bool = False
    #: Our descriptor of the lock `users`; None while we are none.
    users: int | None = field(default=None, init=False)

    def start(self) -> str:
        """Become a user, start the server if there is none, and return its URL.

        Raises:
            ConfigError: there is no PostgreSQL here, or the directory can't be used.
            DatabaseUnavailable: the server does not start; its own words say why.
        """
        _prepare(self.directory, Account.chosen())
        with _held(self.directory / "starting"):
            try:
                self._become_user()
                if not self._is_kept():
                    self._start_keeper()
                _until(self._is_ready, START_WITHIN, "is not ready")
            except BaseException:
                self.leave()
                raise
        return self.url()

    def url(self, dbname: str = NAME) -> str:
        """The address of one of the server's databases."""
        try:
            url = (self.directory / "url").read_text("utf-8")
        except FileNotFoundError:
            raise DatabaseUnavailable(
                f"the embedded PostgreSQL in {self.directory} does not run"
            ) from None
        return url.replace(f"/{NAME}?", f"/{quote(dbname, safe='')}?", 1)

    def leave(self) -> None:
        """Be no user any more; the keeper does the rest."""
        if self.users is not None:
            os.close(self.users)
            self.users = None

    def stop(self, mode: str = "fast") -> None:
        """Stop the server, whoever uses it, as `pg_ctl stop --mode` fast or immediate would, and
        wait for its end.
        """
        self._end(0, STOP_SIGNALS[mode])

    def kill(self) -> None:
        """Kill the postmaster (kill -9), and wait for the end of the keeper."""
        self._end(1, signal.SIGKILL)

    def restart(self, mode: str = "fast") -> None:
        """Stop and start again; the address stays."""
        self.stop(mode)
        self.start()

    def pids(self) -> tuple[int, int]:
        """The process ids of the keeper and the postmaster that started last."""
        keeper, postmaster = (self.directory / "pids").read_text("ascii").split()
        return int(keeper), int(postmaster)

    def _end(self, which: int, number: signal.Signals) -> None:
        if self._is_kept():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pids()[which], number)
            _until(lambda: not self._is_kept(), 2 * STOP_WITHIN, "does not stop")

    def _become_user(self) -> None:
        self.leave()
        users = open_lock(self.directory / "users")
        self.users = users
        _until(
            lambda: try_lock(users, fcntl.LOCK_SH), 2 * STOP_WITHIN, "is stopping, but does not end"
        )

    def _is_kept(self) -> bool:
        """True while a keeper lives."""
        try:
            fd = open_lock(self.directory / "keeper")
        except FileNotFoundError:  # ephemeral, and gone
            return False
        try:
            return not try_lock(fd, fcntl.LOCK_SH)
        finally:
            os.close(fd)

    def _is_ready(self) -> bool:
        if not self._is_kept():
            raise DatabaseUnavailable(
                f"the embedded PostgreSQL ended at once: {self.directory / 'log'} says why"
            )
        return (self.directory / "url").exists()

    def _start_keeper(self) -> None:
        """Start the keeper and wait until it closes its stdout: the server is ready, or the keeper
        has said why not.
        """
        (self.directory / "url").unlink(missing_ok=True)
        words = [str(self.directory.resolve()), str(self.linger), "1" if self.ephemeral else "0"]
        with (
            _log(self.directory / "log") as log,
            subprocess.Popen(
                isolation.becoming(
                    "kronii.embedded.keeper",
                    *words,
                    *(f"{name}={value}" for name, value in self.settings.items()),
                ),
                env=secrecy.public(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            ) as keeper,
        ):
            complaint = keeper.communicate()[0].strip()
        if complaint:
            raise DatabaseUnavailable(complaint)


@contextlib.contextmanager
def server(
    directory: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[str]:
    """A private server, for as long as the block lasts.

    Yields its URL.  Without a directory one is made and removed.
    """
    private = private_server(directory, settings)
    try:
        yield private.start()
    finally:
        private.leave()
        _until(lambda: not private._is_kept(), 2 * STOP_WITHIN, "does not stop")


def private_server(
    directory: Path | None = None, settings: Mapping[str, str] | None = None
) -> Server:
    """A server that nobody else knows of, not yet started."""
    place = directory or Path(tempfile.mkdtemp(prefix="kronii-", dir=_passable()))
    return Server(place, settings or {}, ephemeral=directory is None)


def _passable() -> Path:
    """Where temporary directories are made; for root, /var/tmp if another account can't reach it
    (a TMPDIR of root's own).
    """
    usual = Path(tempfile.gettempdir()).resolve()
    closed = any(not part.stat().st_mode & stat.S_IXOTH for part in (usual, *usual.parents))
    return _LASTING if closed and not os.geteuid() else usual


def shared_directory() -> Path:
    """The state directory of the working directory: `.kronii` in it, or one in /var/tmp for root,
    whose directories the account of PostgreSQL may not reach, and where `.kronii` can't be made.
    """
    here = Path.cwd()
    name = hashlib.sha256(os.fsencode(here)).hexdigest()[:12]
    if not os.geteuid():
        return _LASTING / f"kronii-{name}"
    state = here / ".kronii"
    writable = os.access(state if state.exists() else here, os.W_OK)
    return state if writable else _LASTING / f"kronii-{os.geteuid()}-{name}"


def _prepare(state: Path, account: Account) -> None:
    """Make the state directory, and in it the folder whose mode is all that keeps other users from
    the server.
    """
    _own(state, 0o711 if account.is_foreign else 0o700)
    inner = state / "server"
    if account.is_foreign:
        with contextlib.suppress(FileExistsError):
            inner.mkdir(0o700)
        os.chown(inner, account.uid, account.gid, follow_symlinks=False)
    else:
        _own(inner, 0o700)


def _own(directory: Path, mode: int) -> None:
    """Make a directory, or accept one that is ours; raises ConfigError for what somebody else may
    have put there.
    """
    try:
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode)
        found = directory.lstat()
    except OSError as error:
        raise ConfigError(
            f"{directory} can't be used for the embedded PostgreSQL: {error.strerror}"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ConfigError(
            f"{directory} is not a directory of user id {os.geteuid()}: remove it, or set"
            " DATABASE_URL"
        )
    directory.chmod(mode)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    lock = open_lock(path)
    try:
        _until(
            lambda: try_lock(lock, fcntl.LOCK_EX),
            START_WITHIN,
            "is being started by another process and not ready",
        )
        yield
    finally:
        os.close(lock)


def _until(done: Callable[[], bool], seconds: float, what: str) -> None:
    """Look until `done`; raises DatabaseUnavailable after `seconds`, saying `what` is the
    matter.
    """
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(f"the embedded PostgreSQL {what} after {seconds:g} s")
        time.sleep(LOOK)


def _log(path: Path) -> BinaryIO:
    """The log of the keeper and postgres, begun anew when it has grown."""
    too_long = path.exists() and path.stat().st_size > LOG_LIMIT
    return open(path, "wb" if too_long else "ab")
