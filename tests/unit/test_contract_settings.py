"""Settings as a stranger would set them: no digit but ASCII's, no host that is half a password, no
secret in any form.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kronii.address import MASK
from kronii.errors import ConfigError
from kronii.settings import Settings

NOWHERE = Path("/nonexistent")

SECRETS = [
    '"host=h password=hunter2"',
    "'postgresql://u:hunter2@h/d'",
    "host=h,password=hunter2",
    "host=h;password=hunter2",
    "host=h password:hunter2",
    "host=h passwd=hunter2",
    "host=h pwd=hunter2 port=1",
    "Server=h;Pwd=hunter2;Port=1",
    '"host=h password=a&hunter2"',
    "postgresql://h/d?user=u;password=hunter2",
    "postgresql://h/d?user=u&passwort=hunter2",
    "dbname=postgresql://u:hunter2@h/d",
    "dbname='postgresql://u:hunter2@h/d' x=y",
    "DATABASE_URL=postgresql://u:hunter2@h:99999/d",
]


def refusal(**environ: str) -> str:
    with pytest.raises(ConfigError) as refused:
        Settings.from_environment(environ, NOWHERE)
    return str(refused.value)


@pytest.mark.parametrize("url", SECRETS)
def test_no_form_of_a_secret_is_shown(url: str) -> None:
    message = refusal(DATABASE_URL=url)
    assert "hunter2" not in message
    assert MASK in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:a@hunter2@h/d", "postgresql://u:hun@ter2@/d", "host='a b'", "host=h;x=1"],
)
def test_a_host_that_is_none_is_refused_before_libpq_repeats_it(url: str) -> None:
    assert "hunter2" not in refusal(DATABASE_URL=url)


@pytest.mark.parametrize(
    "url",
    [
        "host=/var/run/postgresql dbname=d",
        "host=@abstract dbname=d",
        "postgresql://u:p@h1:1,h2:2/d?target_session_attrs=read-write",
        "postgresql://u:p%40q@[::1]:5432/d",
        "postgresql://%2Fvar%2Flib/d",
        "postgresql:///d?host=/tmp/x y&sslmode=verify-full".replace(" ", "%20"),
        "host=db_1.example.com password='a b' passfile=/x",
        "dbname=d",
    ],
)
def test_what_libpq_takes_is_taken(url: str) -> None:
    assert Settings.from_environment({"DATABASE_URL": url}, NOWHERE).database_url == url


def test_blank_is_no_address() -> None:
    assert refusal(DATABASE_URL="  ").startswith("DATABASE_URL='  ': must be a PostgreSQL URL")


def test_a_wrong_sslmode_is_refused_and_the_right_ones_are_named() -> None:
    assert refusal(DATABASE_URL="postgresql://h/d?sslmode=on").endswith(
        "sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full"
    )


@pytest.mark.parametrize("name", ["KRONII_DRAIN_TIMEOUT", "KRONII_LEASE", "KRONII_HISTORY"])
@pytest.mark.parametrize("text", ["٣s", "\uff13s", "30s٣m", "²s"])
def test_digits_of_other_scripts_are_no_duration(name: str, text: str) -> None:
    assert refusal(**{name: text}).startswith(f"{name}={text!r}: must be a duration")


def test_a_working_directory_that_may_not_be_entered_has_no_dotenv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "closed")
    assert Settings.from_environment({"WORKER_COUNT": "3"}, tmp_path / "closed").worker_count == 3
    with pytest.raises(ConfigError, match=r"\.env can't be read: Permission denied"):
        Settings.from_environment({}, tmp_path / "open")
