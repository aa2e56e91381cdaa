"""Who may write what decides: root refuses what others do, everybody else is warned."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kronii import ownership
from kronii.errors import ConfigError
from kronii.settings import Settings

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")
#: Nobody here has this user or group id.
STRANGER = 54321


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    file = tmp_path / "jobs.yaml"
    file.touch(0o644)
    return file


def verdicts(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str | None, str | None]:
    """What root is told, and what its owner is told who is somebody else."""
    owner = os.stat(path).st_uid or 1000
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: owner)
        warning = ownership.check(path, "it")
        patch.setattr(os, "geteuid", lambda: 0)
        try:
            return ownership.check(path, "it"), warning
        except ConfigError as error:
            return str(error), warning


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755, 0o444, 0o400])
def test_what_its_owner_alone_may_write_is_taken(
    file: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    file.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(file).st_uid)
    assert ownership.check(file, "it") is None
    assert ownership.check(file.parent, "it") is None
    assert ownership.check(file.parent / "none", "it") is None


@as_root
@pytest.mark.parametrize(
    ("mode", "gid", "says"),
    [
        (0o646, 0, "it can be written by everybody: `chmod o-w` it"),
        (0o622, 0, "it can be written by everybody: `chmod o-w` it"),
        (0o664, STRANGER, f"it can be written by the group with id {STRANGER}: `chmod g-w` it"),
        (0o660, 1, "it can be written by the group daemon: `chmod g-w` it"),
        (0o664, 0, None),
    ],
)
def test_what_others_may_write(
    file: Path, monkeypatch: pytest.MonkeyPatch, mode: int, gid: int, says: str | None
) -> None:
    os.chown(file, 0, gid)
    file.chmod(mode)
    refused, warned = verdicts(file, monkeypatch)
    assert warned == says
    assert refused == (says and f"{says}; root runs nothing that others decide")


@as_root
def test_what_belongs_to_somebody_else(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(file, STRANGER, 0)
    file.chmod(0o600)
    refused, _ = verdicts(file, monkeypatch)
    assert refused is not None
    assert refused.startswith(f"it belongs to user id {STRANGER}: `chown root` it; root runs")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert (ownership.check(file, "it") or "").startswith(f"it belongs to user id {STRANGER}")


@as_root
def test_a_file_can_be_replaced_by_whoever_may_write_its_directory(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.chmod(0o777)
    refused, warned = verdicts(file, monkeypatch)
    says = f"it lies in {file.parent}, which can be written by everybody: `chmod o-w` it"
    assert (refused, warned) == (f"{says}; root runs nothing that others decide", says)
    file.parent.chmod(0o1777)  # there only its owner replaces it
    assert verdicts(file, monkeypatch) == (None, None)
    assert verdicts(file.parent, monkeypatch)[1] == (
        "it can be written by everybody: `chmod o-w` it"
    )


@as_root
def test_root_takes_no_settings_from_others(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("WORKER_COUNT=3\n")
    os.chown(tmp_path / ".env", STRANGER, 0)
    with pytest.raises(ConfigError, match=r"^\.env belongs to user id"):
        Settings.from_environment({}, tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    settings = Settings.from_environment({}, tmp_path)
    assert settings.worker_count == 3
    assert [warning[:24] for warning in settings.warnings] == [".env belongs to user id "]
    address = tmp_path / "address"
    address.write_text("postgresql://u@h/d")
    address.chmod(0o666)
    monkeypatch.undo()
    os.unlink(tmp_path / ".env")
    with pytest.raises(ConfigError, match="address can be written by everybody"):
        Settings.from_environment({"KRONII_DATABASE_URL_FILE": str(address)}, tmp_path)
