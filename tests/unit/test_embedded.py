"""Where the embedded server's files lie, and who may read them."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from kronii.embedded import binaries
from kronii.embedded.server import _passable, shared_directory


def test_a_copy_can_be_read_by_every_account_whatever_the_umask(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    before = os.umask(0o077)
    try:
        folder = tmp_path / "package" / "pginstall18" / "bin"
        folder.mkdir(parents=True)
        for name, mode in (("postgres", 0o700), ("initdb", 0o700), ("share.txt", 0o600)):
            (folder / name).touch(mode)
        copy = binaries._copied(folder, state)
        parents = (copy, copy.parent, copy.parent.parent, copy.parent.parent.parent)
        for path, wanted in (
            *((path, 0o755) for path in (*parents, copy / "postgres", copy / "initdb")),
            (copy / "share.txt", 0o644),
        ):
            assert stat.S_IMODE(path.stat().st_mode) == wanted, path
        (copy / "postgres").chmod(0o700)  # as an earlier version left it
        assert binaries._copied(folder, state) == copy
        assert stat.S_IMODE((copy / "postgres").stat().st_mode) == 0o755
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("user", "writable", "wanted"),
    [
        (0, True, r"/var/tmp/kronii-[0-9a-f]{12}"),
        (1000, True, r".*/\.kronii"),
        (1000, False, r"/var/tmp/kronii-1000-[0-9a-f]{12}"),
    ],
)
def test_the_state_directory(
    user: int, writable: bool, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "access", lambda path, mode: writable)
    assert re.fullmatch(wanted, str(shared_directory()))


def test_a_private_server_of_root_lies_where_another_account_can_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o700)
    monkeypatch.setattr("tempfile.tempdir", str(closed))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert _passable() == Path("/var/tmp")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert _passable() == closed
