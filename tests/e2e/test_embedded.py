"""`kronii run --embedded`: instances started in one directory share a server, and nothing
outlives the last of them.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from kronii import embedded
from kronii.embedded.keeper import START_WITHIN
from kronii.embedded.server import shared_directory
from tests.support import EVERY_SECOND, Fleet, Instance, alive, wait_until
from tests.support.processes import pids


class Place:
    """A working directory in which instances are launched without DATABASE_URL."""

    def __init__(self, directory: Path) -> None:
        self.fleet = Fleet(None, directory)
        self.fleet.jobs(
            self.fleet.job("tick"),
            {"name": "sleeps", "cron": EVERY_SECOND, "command": "echo $$ >> pids; exec sleep 1000"},
        )

    def launch(self, node: str, module: str = "kronii", **environ: str) -> Instance:
        """One launcher, `kronii run --embedded` or `kronii.embedded`; it becomes the instance."""
        words = ("run", "--embedded") if module == "kronii" else ()
        return self.fleet.start(node, (sys.executable, "-m", module, *words), **environ)

    def url(self, instance: Instance) -> str:
        """Where an instance says that its database is."""
        wait_until(lambda: "DATABASE_URL=" in instance.text, START_WITHIN)
        (line,) = [line for line in instance.lines if "DATABASE_URL=" in line]
        return pasted(line, "DATABASE_URL")

    @property
    def jobs(self) -> list[int]:
        """Process ids of what the jobs started."""
        file = self.fleet.directory / "pids"
        return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def pasted(line: str, name: str) -> str:
    """What a variable is in a shell that the line has been pasted into."""
    script = f'{line}\nprintf %s "${name}"'
    shell = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    return shell.stdout


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One working directory for all: PostgreSQL is initialised once."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture
def place(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The working directory, with nothing running in it before and after."""
    monkeypatch.chdir(directory)
    for file in directory.iterdir():  # also what instances of the test before said
        if file.is_file():
            file.unlink()
    place = Place(directory)
    yield place
    place.fleet.close()
    wait_until(not_kept)


@pytest.fixture(scope="module", autouse=True)
def _removed(directory: Path) -> Iterator[None]:
    """As root the server's data lies outside of the working directory."""
    yield
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        shutil.rmtree(shared_directory(), ignore_errors=True)


def not_kept() -> bool:
    """No keeper lives for this working directory."""
    state = shared_directory()
    return not state.exists() or not embedded.Server(state)._is_kept()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_two_share_a_server_that_goes_with_the_last(place: Place, end: signal.Signals) -> None:
    first, second = (
        place.launch("first", KRONII_DRAIN_TIMEOUT="100ms"),
        place.launch("second", KRONII_DRAIN_TIMEOUT="100ms"),
    )
    url = place.url(first)
    assert place.url(second) == url
    keeper, postmaster = embedded.Server(shared_directory()).pids()
    guards = [wait_until(lambda one=one: one.guard_pid) for one in (first.ready(), second.ready())]
    wait_until(lambda: place.jobs)
    with psycopg.connect(url, autocommit=True) as session:
        wait_until(lambda: _nodes(session) == ["first", "second"])
        first.signal(end)
        assert first.exit() == (-end if end == signal.SIGKILL else 0)
        count = _ticks(session)
        wait_until(lambda: _ticks(session) > count + 1)
    assert alive(postmaster)
    second.signal(end)
    second.exit()
    wait_until(lambda: not any(map(alive, [keeper, postmaster, *guards, *place.jobs])))
    assert [pid for pid in pids() if _works_in(pid, shared_directory())] == []
    if end == signal.SIGTERM:  # what was recorded is still there for the next one
        third = place.launch("third").ready()
        with psycopg.connect(place.url(third), autocommit=True) as session:
            assert _ticks(session) > count
        assert third.stop_now() == 0


def _nodes(session: psycopg.Connection[tuple[str]]) -> list[str]:
    return [row[0] for row in session.execute("SELECT name FROM nodes ORDER BY 1").fetchall()]


def _ticks(session: psycopg.Connection[tuple[int]]) -> int:
    statement = (
        "SELECT count(*) FROM runs r JOIN jobs j ON j.id = r.job_id WHERE j.name = 'tick' AND"
        " outcome = 'success'"
    )
    row = session.execute(statement).fetchone()
    return row[0] if row else 0


def _works_in(pid: int, directory: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(directory) and alive(pid)
    except OSError:
        return False


def test_a_taken_port_says_which_variable_to_set_and_leaves_no_server(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        instance = place.launch("third", METRICS_PORT=str(taken.getsockname()[1]))
        assert instance.exit(START_WITHIN) == 78
    assert "set METRICS_PORT to another port" in instance.text
    wait_until(not_kept)


def test_an_address_is_used_as_it_is(
    tmp_path: Path, directory: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = Place(tmp_path)
    try:
        instance = place.launch("given", DATABASE_URL=database_url)
        instance.wait_for("connected")
        assert instance.lines == []
        (tmp_path / ".env").write_text(f"DATABASE_URL='{database_url}'\n")
        place.launch("dotenv", "kronii.embedded").wait_for("connected")
        assert not shared_directory().exists()
    finally:
        place.fleet.close()
