"""The command line with odd streams, locales and working directories: real processes, and never a
traceback.
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import ROOT

JOB = 'jobs:\n  - name: a\n    cron: "* * * * * *"\n    description: ünï 日本 😀\n    bogus日: 1\n'


def kronii(
    arguments: str, directory: Path, shell: str = "", **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `kronii ARGUMENTS` by a shell, with redirections in `shell`."""
    names = ("PATH", "HOME", "TMPDIR")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environ}
    line = f"{shlex.quote(sys.executable)} -m kronii {arguments} {shell}"
    return subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", line],
        cwd=directory,
        env=environment,
        capture_output=True,
        timeout=60,
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A working directory with a file that has a problem in it, beyond ASCII."""
    (tmp_path / "jobs.yaml").write_text(JOB, "utf-8")
    return tmp_path


def test_a_reader_that_leaves_early_is_no_error(directory: Path) -> None:
    done = kronii("next '* * * * * *' -n 20000", directory, "| head -n 1")
    assert (done.returncode, done.stderr) == (0, b"")
    done = kronii("--help", directory, "| true")
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_is_a_sentence(directory: Path) -> None:
    done = kronii("next '* * * * * *' -n 20000", directory, ">/dev/full")
    assert (done.returncode, done.stderr) == (
        1,
        b"kronii: the output can't be written: No space left on device\n",
    )
    done = kronii("next @hourly", directory, ">/dev/full")
    assert (done.returncode, done.stderr) == (
        1,
        b"kronii: the output can't be written: No space left on device\n",
    )


@pytest.mark.parametrize(
    ("arguments", "closed", "status"),
    [
        ("next @hourly", ">&-", 0),
        ("next @hourly --json", ">&-", 0),
        ("next @hourly --json", "<&- >&- 2>&-", 0),
        ("validate --json", ">&- <&-", 1),
        ("next nothing", "2>&-", 78),
        ("next nothing", "2>/dev/full", 78),
        ("run", "<&- >&- 2>&-", 78),
    ],
)
def test_closed_streams_change_nothing_of_the_exit_status(
    directory: Path, arguments: str, closed: str, status: int
) -> None:
    done = kronii(arguments, directory, closed)
    assert (done.returncode, b"Traceback" in done.stderr) == (status, False)


@pytest.mark.parametrize("reader", ["full disk", "gone"])
def test_a_log_that_nobody_takes_changes_nothing_of_the_exit_status(
    directory: Path, reader: str
) -> None:
    """At exit the interpreter flushes stderr again, and would end with 120."""
    (directory / "jobs.yaml").write_text('jobs: [{name: a, cron: "@daily", command: "true"}]')
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": "postgresql://127.0.0.1:1/nowhere",
        "METRICS_PORT": str(port),
    }
    stderr = _unread(reader)
    command = [sys.executable, "-m", "kronii", "run"]
    instance = subprocess.Popen(command, cwd=directory, env=environment, stderr=stderr)
    os.close(stderr)
    while instance.poll() is None and not _has_logged(port):
        time.sleep(0.02)
    instance.terminate()
    assert instance.wait(30) == 0


def _unread(reader: str) -> int:
    if reader == "full disk":
        return os.open("/dev/full", os.O_WRONLY)
    gone, writer = os.pipe()
    os.close(gone)
    return writer


def _has_logged(port: int) -> bool:
    """True once it has found that its database is away, and said so."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        client.request("GET", "/readyz")
        return b"database away" in client.getresponse().read()
    except OSError:
        return False
    finally:
        client.close()


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_any_locale_will_do(directory: Path, locale: dict[str, str]) -> None:
    done = kronii("validate", directory, **locale)
    assert done.returncode == 1
    assert b"5:5: error: unknown key" in done.stderr
    assert b"Traceback" not in done.stderr
    problems = json.loads(kronii("validate --json", directory, **locale).stdout)["problems"]
    assert "bogus日" in next(
        problem["message"] for problem in problems if problem["severity"] == "error"
    )


def test_a_file_name_that_is_not_utf8(directory: Path) -> None:
    done = kronii("validate $'\\xff.yaml'", directory)
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False)
    assert done.stdout == b"\\udcff.yaml: 1 error, 0 warnings\n"


@pytest.mark.parametrize(
    "arguments", ["validate", "next a", "list", "history", "logs 1", "migrate", "run"]
)
def test_a_working_directory_that_is_gone(tmp_path: Path, arguments: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f"cd {gone} && rmdir {gone} && {shlex.quote(sys.executable)} -m kronii {arguments}"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    gone_done = subprocess.run(
        ["/bin/sh", "-c", line], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (gone_done.returncode, gone_done.stderr) == (
        78,
        "kronii: the working directory can't be used: No such file or directory\n",
    )


def test_an_absolute_file_is_validated_from_nowhere(tmp_path: Path) -> None:
    file, gone = tmp_path / "jobs.yaml", tmp_path / "gone"
    file.write_text('jobs:\n  - {name: a, cron: "@daily", python: "json:dumps"}\n')
    gone.mkdir()
    line = f"cd {gone} && rmdir {gone} && {shlex.quote(sys.executable)} -m kronii validate {file}"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["/bin/sh", "-c", line], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"{file}: 1 job, 0 errors, 0 warnings\n",
        "",
    )


@pytest.mark.parametrize(
    "start", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
def test_from_at_an_end_of_the_calendar(directory: Path, start: str) -> None:
    done = kronii(f"next @daily --from {start}", directory)
    assert (done.returncode, done.stdout) == (2, b"")
    assert (
        done.stderr
        == b"kronii: --from is too near to an end of the calendar, the years 1 and 9999\n"
    )


def test_what_stderr_still_holds_does_not_change_the_exit_status() -> None:
    """The interpreter flushes at exit, and ends with 120 if it can't."""
    program = (
        "import sys; from kronii.commands import streams;"
        " sys.stderr.write('no newline, so it waits'); streams.flush_stderr()"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stderr=full, env={"PYTHONPATH": str(ROOT)}, timeout=60
        )
    assert done.returncode == 0
