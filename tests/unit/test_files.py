"""Files that users name: what is read, and what is refused before it can hang."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kronii.definitions import DefinitionsError, load
from kronii.files import read_file, read_start
from tests.support.instances import environment

JOBS = "jobs: [{name: a, cron: '* * * * *', command: 'true'}]"


def refusal(path: Path, limit: int = 1000) -> str:
    with pytest.raises(OSError, match=r".") as caught:
        read_file(path, limit)
    return str(caught.value.strerror)


def test_a_regular_file_and_a_link_to_one(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"content")
    link.symlink_to(file)
    assert read_file(file, 7) == read_file(link, 7) == b"content"
    assert read_start(file, 3) == b"con"
    file.write_bytes(b"")
    assert read_file(file, 7) == b""


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        said = {name: refusal(tmp_path / name) for name in ("pipe", "socket", "none", ".")}
    assert said == {
        "pipe": "it is a pipe, and only a regular file is read",
        "socket": "it is a socket, and only a regular file is read",
        "none": "No such file or directory",
        ".": "Is a directory",
    }
    for device in ("/dev/zero", "/dev/null", "/dev/tty"):
        assert refusal(Path(device)) == "it is a device, and only a regular file is read"


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the opening."""
    path, stat = tmp_path / "file", os.stat
    path.write_bytes(b"content")

    def replaced(name: Path) -> os.stat_result:
        found = stat(name)
        path.unlink()
        os.mkfifo(path)
        return found

    monkeypatch.setattr(os, "stat", replaced)
    assert refusal(path) == "it is a pipe, and only a regular file is read"


def test_no_more_is_read_than_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as sparse:
        sparse.truncate(10 << 40)
    assert refusal(file, 64 << 20) == "it is larger than 64 MiB"
    assert refusal(file, 4096) == "it is larger than 4 KiB"


def test_a_file_without_an_end(tmp_path: Path) -> None:
    """Of /proc, which says that each of its files is empty."""
    assert refusal(Path("/proc/self/smaps"), 4096) == "it is larger than 4 KiB"


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_a_path_that_can_be_none(path: str) -> None:
    with pytest.raises((OSError, ValueError)):
        read_file(Path(path), 10)
    with pytest.raises(DefinitionsError, match="can't be read"):
        load(Path(path))


@pytest.mark.parametrize("kind", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_standard_input_is_read_where_it_is_a_file(tmp_path: Path, kind: str) -> None:
    """`kronii validate /dev/stdin <jobs.yaml` works, a pipe there is refused with a sentence."""
    file = tmp_path / "jobs.yaml"
    file.write_text(JOBS)
    command = [sys.executable, "-m", "kronii", "validate", kind]
    with file.open("rb") as content:
        done = subprocess.run(
            command, stdin=content, env=environment(), capture_output=True, text=True
        )
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(command, input=JOBS, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1
    assert "can't be read: it is a pipe, and only a regular file is read" in done.stderr
