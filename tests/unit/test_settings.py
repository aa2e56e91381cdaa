"""Settings: every variable, every way to get it wrong, and what `.env` adds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronii.errors import ConfigError
from kronii.settings import (
    VARIABLES,
    Settings,
    default_node,
    dotenv,
    names_a_database,
    read_dotenv,
    secretfile,
)

NOWHERE = Path("/nonexistent")


def read(directory: Path = NOWHERE, **environ: str) -> Settings:
    return Settings.from_environment(environ, directory)


def read_one(name: str, text: str) -> Settings:
    return Settings.from_environment({name: text}, NOWHERE)


def refusal(name: str, text: str) -> str:
    """The message about a bad value; empty for a good one."""
    try:
        read_one(name, text)
    except ConfigError as error:
        return str(error)
    return ""


def test_defaults() -> None:
    settings = read()
    assert settings.database_url is None
    assert (settings.worker_count, settings.metrics_host) == (5, "127.0.0.1")
    assert (settings.drain_timeout, settings.lease, settings.history) == (30, 15, 30 * 86400)
    assert (settings.log_level, settings.log_format, settings.quarantine) == ("info", "", 3)
    assert settings.metrics_port is None
    assert settings.node is None
    assert settings.warnings == ()


def test_jobs_file_starts_in_the_directory(tmp_path: Path) -> None:
    assert read(tmp_path).jobs_file == tmp_path / "jobs.yaml"
    assert read(tmp_path, KRONII_JOBS_FILE="a/b.yaml").jobs_file == tmp_path / "a/b.yaml"
    assert read(tmp_path, KRONII_JOBS_FILE="/etc/jobs.yaml").jobs_file == Path("/etc/jobs.yaml")
    assert Settings.from_environment({}, Path(".")).jobs_file == Path("jobs.yaml")


GOOD = [
    ("WORKER_COUNT", "1", "worker_count", 1),
    ("WORKER_COUNT", "1000", "worker_count", 1000),
    ("WORKER_COUNT", " 7 ", "worker_count", 7),
    ("METRICS_PORT", "0", "metrics_port", 0),
    ("METRICS_PORT", "65535", "metrics_port", 65535),
    ("KRONII_METRICS_HOST", "0.0.0.0", "metrics_host", "0.0.0.0"),
    ("KRONII_METRICS_HOST", "::1", "metrics_host", "::1"),
    ("KRONII_METRICS_HOST", "web-1.example", "metrics_host", "web-1.example"),
    ("KRONII_NODE", "knoten-ü", "node", "knoten-ü"),
    ("KRONII_NODE", "n" * 100, "node", "n" * 100),
    ("KRONII_DRAIN_TIMEOUT", "0s", "drain_timeout", 0),
    ("KRONII_LEASE", "2s", "lease", 2),
    ("KRONII_LEASE", "1h", "lease", 3600),
    ("KRONII_HISTORY", "1d12h", "history", 129600),
    ("KRONII_LOG_LEVEL", "DEBUG", "log_level", "debug"),
    ("KRONII_LOG_FORMAT", "journal", "log_format", "journal"),
    ("KRONII_LOG_FORMAT", "", "log_format", ""),
    ("KRONII_QUARANTINE", "0", "quarantine", 0),
    ("KRONII_MIGRATE", "false", "migrate", False),
    ("KRONII_MIGRATE", " NO ", "migrate", False),
    ("KRONII_MIGRATE", "1", "migrate", True),
    ("KRONII_MIGRATE", "", "migrate", True),
    ("DATABASE_URL", "postgresql://u@h/d", "database_url", "postgresql://u@h/d"),
]


@pytest.mark.parametrize(("name", "text", "field", "value"), GOOD)
def test_good(name: str, text: str, field: str, value: object) -> None:
    assert getattr(read_one(name, text), field) == value


NUMBER = "must be a whole number from"
ADDRESS = "must be a PostgreSQL URL"

BAD = [
    ("WORKER_COUNT", "0", f"{NUMBER} 1 to 1000"),
    ("WORKER_COUNT", "1001", NUMBER),
    ("WORKER_COUNT", "five", NUMBER),
    ("WORKER_COUNT", "5.0", NUMBER),
    ("WORKER_COUNT", "-1", NUMBER),
    ("WORKER_COUNT", "1_0", NUMBER),
    ("WORKER_COUNT", "٣", NUMBER),
    ("WORKER_COUNT", "9" * 5000, NUMBER),
    ("METRICS_PORT", "65536", f"{NUMBER} 0 to 65535"),
    ("METRICS_PORT", "http", NUMBER),
    ("KRONII_METRICS_HOST", "localhost:3000", "the port is METRICS_PORT's"),
    ("KRONII_METRICS_HOST", "http://localhost", "must be a host name or IP address"),
    ("KRONII_METRICS_HOST", "a b", "must be a host name or IP address"),
    ("KRONII_NODE", "a b", "printable characters without spaces"),
    ("KRONII_NODE", "a\nb", "printable"),
    ("KRONII_NODE", "a\x1b[31m", "printable"),
    ("KRONII_NODE", "n" * 101, "1 to 100"),
    ("KRONII_DRAIN_TIMEOUT", "30", "add the unit, as in 30s"),
    ("KRONII_DRAIN_TIMEOUT", "2d", "from 0s to 1d"),
    ("KRONII_LEASE", "1s", "from 2s to 1h"),
    ("KRONII_LEASE", "61m", "from 2s to 1h"),
    ("KRONII_LEASE", "-5s", "from 2s to 1h"),
    ("KRONII_HISTORY", "30 days", "a duration with its unit"),
    ("KRONII_HISTORY", "9" * 400 + "d", "a duration with its unit"),
    ("KRONII_LOG_LEVEL", "warn", "did you mean warning?"),
    ("KRONII_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
    ("KRONII_LOG_FORMAT", "jsn", "did you mean json?"),
    ("KRONII_QUARANTINE", "never", NUMBER),
    ("KRONII_MIGRATE", "never", "must be true or false"),
    ("KRONII_MIGRATE", "2", "must be true or false"),
    ("DATABASE_URL", "localhost", ADDRESS),
    ("DATABASE_URL", "  ", ADDRESS),
    ("DATABASE_URL", "mysql://u@h/d", "; mysql:// is not PostgreSQL"),
]


@pytest.mark.parametrize(("name", "text", "fragment"), BAD)
def test_bad(name: str, text: str, fragment: str) -> None:
    message = refusal(name, text)
    assert message.startswith(f"{name}='")
    assert fragment in message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize("name", ["KRONII_DRAIN_TIMEOUT", "KRONII_LEASE", "KRONII_HISTORY"])
@pytest.mark.parametrize("text", ["٣s", "\uff13s", "30s٣m", "²s"])
def test_digits_of_other_scripts_are_no_duration(name: str, text: str) -> None:
    assert refusal(name, text).startswith(f"{name}={text!r}: must be a duration")


def test_all_problems_in_one_pass() -> None:
    with pytest.raises(ConfigError) as caught:
        read(WORKER_COUNT="x", METRICS_PORT="y", KRONII_LEASE="z")
    assert [line.split("=")[0] for line in str(caught.value).splitlines()] == [
        "WORKER_COUNT",
        "METRICS_PORT",
        "KRONII_LEASE",
    ]


def test_the_password_is_never_shown() -> None:
    assert "hunter2" not in repr(read(DATABASE_URL="postgresql://u:hunter2@h/d"))
    assert refusal("DATABASE_URL", "mysql://u:hunter2@h/d").startswith(
        "DATABASE_URL='***': must be"
    )


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("KRONII_METRICS_HOST", "postgresql://u:hunter2@h/d", "'***'"),
        ("KRONII_NODE", "password=hunter2 x", "'***'"),
        ("KRONII_LEASE", "password: hunter2", "'password: ***'"),
        ("WORKER_COUNT", "https://hunter2@hooks.example", "'***'"),
        ("WORKER_COUNT", "https://hooks.example/T0/hunter2", "'***'"),
        ("KRONII_METRICS_HOST", "http://localhost", "'http://localhost'"),
    ],
)
def test_a_secret_in_the_wrong_variable_is_not_shown(name: str, text: str, shown: str) -> None:
    assert refusal(name, text).startswith(f"{name}={shown}: must be")


#: Addresses in every form, which somebody has given to the wrong variable.
ADDRESSES = [
    "postgres://u:hunter2@h/d",
    "POSTGRESQL://u:hunter2@h/d",
    "postgresql+psycopg://u:hunter2@h/d",
    "postgres:/u:hunter2@h/d",
    "postgres://h/d?password=hunter2",
    "postgres://u%3Ahunter2@h/d",
    "mysql://u:hunter2@h/d",
    "https://hunter2@hooks.example",
    "u:hunter2@h/d",
    "u%3Ahunter2@h/d",
    "host=h password=hunter2",
    "host=h password = 'hunter2'",
    "dbname=d user=u options=hunter2",
    "PASSWORD=hunter2",
    "/run/x PGPASSWORD=hunter2",
    "'postgres://u:hunter2@h/d'",
    "DATABASE_URL=postgres://u:hunter2@h/d",
    " postgres://u:hunter2@h/d",
]
OTHERS = sorted({*VARIABLES, "DATABASE_URL_FILE"} - {"DATABASE_URL"})


@pytest.mark.parametrize("text", ADDRESSES)
@pytest.mark.parametrize("name", OTHERS)
def test_no_other_variable_takes_or_shows_an_address(name: str, text: str, tmp_path: Path) -> None:
    cure = "it looks like the address of a database: put that into DATABASE_URL, or into a file"
    message = refusal(name, text)
    assert message.startswith(f"{name}='***': must be ")
    assert cure in message
    (tmp_path / ".env").write_text(f'{name}="{text}"\n')
    with pytest.raises(ConfigError) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"{name}='***' (in .env): must be ")
    assert "hunter2" not in f"{message}{caught.value}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KRONII_JOBS_FILE", "/etc/kronii/postgres/jobs@home.yaml"),
        ("KRONII_JOBS_FILE", "postgres.yaml"),
        ("KRONII_JOBS_FILE", "/srv/a=b/password.yaml"),
        ("KRONII_NODE", "cron@web-1:3000"),
        ("KRONII_NODE", "postgres-1:3000"),
    ],
)
def test_what_is_no_address_is_taken(name: str, text: str) -> None:
    assert refusal(name, text) == ""


@given(st.sampled_from(sorted(VARIABLES)), st.text(min_size=1))
def test_any_value_is_read_or_refused(name: str, text: str) -> None:
    message = refusal(name, text)
    assert not message or message.startswith(f"{name}=")


def test_unknown_variables() -> None:
    unknown = {"KRONII_METRIC_HOST": "x", "KRONII_WORKER_COUNT": "3", "KRONII_XYZZY": "s3cret"}
    known = {
        "KRONII_JOB": "j",
        "KRONII_RUN_ID": "1",
        "KRONII_TEST_URL": "x",
        "KRONII_ATTEMPT": "1",
        "HOME": "/",
    }
    assert Settings.from_environment(unknown | known, NOWHERE).warnings == (
        "KRONII_METRIC_HOST is not a setting of Kronii: did you mean KRONII_METRICS_HOST?",
        "KRONII_WORKER_COUNT is not a setting of Kronii: did you mean WORKER_COUNT?",
        "KRONII_XYZZY is not a setting of Kronii",
    )


@pytest.mark.parametrize(
    ("host", "port", "node"),
    [
        ("web-1", 3000, "web-1:3000"),
        ("my host\x1b", 1, "my-host-:1"),
        ("h" * 200, 65535, "h" * 94 + ":65535"),
        ("", 3000, "localhost:3000"),
    ],
)
def test_the_default_node_tells_instances_of_one_host_apart(
    host: str, port: int, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert default_node(port) == node
    assert read(KRONII_NODE=node).node == node


# the address in a file

URL = "postgresql://u:hunter2@h/d"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "database_url"
    file.write_text(f"{URL}\n")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("name", ["KRONII_DATABASE_URL_FILE", "DATABASE_URL_FILE"])
def test_the_address_may_be_in_a_file(secret: Path, tmp_path: Path, name: str) -> None:
    assert read(NOWHERE, **{name: str(secret)}).database_url == URL
    assert read(tmp_path, **{name: "database_url"}).database_url == URL
    assert names_a_database({name: "x"}, NOWHERE)


def test_the_address_may_be_a_credential(secret: Path, tmp_path: Path) -> None:
    assert read(CREDENTIALS_DIRECTORY=str(tmp_path)).database_url == URL
    assert names_a_database({"CREDENTIALS_DIRECTORY": str(tmp_path)}, NOWHERE)
    other = read(CREDENTIALS_DIRECTORY=str(tmp_path), DATABASE_URL="postgresql://x/y")
    assert other.database_url == "postgresql://x/y"
    secret.unlink()
    assert read(CREDENTIALS_DIRECTORY=str(tmp_path)).database_url is None
    assert not names_a_database({"CREDENTIALS_DIRECTORY": str(tmp_path)}, NOWHERE)


def test_the_address_may_be_in_a_file_that_systemd_has_opened(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its jobs, which have the same user, can't open it."""
    with secret.open() as first, secret.open() as second:
        monkeypatch.setattr(secretfile, "FIRST_FILE", first.fileno())
        names = ":".join(["web"] * (second.fileno() - first.fileno()) + ["database_url"])
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": names}
        os.set_inheritable(second.fileno(), True)
        for _ in range(2):
            assert read(**environ).database_url == URL
        assert names_a_database(environ, NOWHERE)
        assert not os.get_inheritable(second.fileno())
        secret.write_text("password=hunter2 x")
        with pytest.raises(ConfigError, match=r"^the open file database_url: must hold a Post"):
            read(**environ)
        assert read(**{**environ, "LISTEN_PID": "1"}).database_url is None


def test_a_file_that_others_may_write_is_a_warning(
    secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    secret.chmod(0o646)
    monkeypatch.setattr(os, "geteuid", lambda: secret.stat().st_uid or 1000)
    assert read(tmp_path, DATABASE_URL_FILE="database_url").warnings == (
        "database_url can be written by everybody: `chmod o-w` it",
    )


def test_two_addresses_are_one_too_many(secret: Path) -> None:
    with pytest.raises(ConfigError, match="are both set: unset one of them"):
        read(DATABASE_URL=URL, KRONII_DATABASE_URL_FILE=str(secret))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "must hold the address of a database and nothing else"),
        (b" \n", "must hold the address of a database and nothing else"),
        (b"x" * 70000, "can't be read: it is larger than 64 KiB"),
        (b"\xff\xfehunter2", "is not UTF-8"),
        (b"mysql://u:hunter2@h/d", "must hold a PostgreSQL URL .*; mysql:// is not PostgreSQL"),
        (
            b"postgresql://u@s:hunter2@h/d",
            "must hold a PostgreSQL URL .*; what it gives as host is none",
        ),
        (b"password=hunter2\nhost", "in keywords, quote a value"),
    ],
)
def test_a_file_without_an_address_is_refused_and_not_shown(
    secret: Path, content: bytes, says: str
) -> None:
    secret.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        read(KRONII_DATABASE_URL_FILE=str(secret))
    assert str(caught.value).startswith(f"KRONII_DATABASE_URL_FILE={secret}")
    assert "hunter2" not in str(caught.value)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, says in (
        ("pipe", "can't be read: it is a pipe, and only a regular file is read"),
        (".", "can't be read: Is a directory"),
        ("none", "can't be read: No such file"),
    ):
        with pytest.raises(ConfigError, match=says):
            read(tmp_path, KRONII_DATABASE_URL_FILE=name)
        (tmp_path / ".env").write_text(f"DATABASE_URL_FILE={name}\n")
        with pytest.raises(ConfigError, match=rf"^DATABASE_URL_FILE=\S+ \(in .env\) {says}"):
            read(tmp_path)
        os.unlink(tmp_path / ".env")


# .env


def test_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        'export WORKER_COUNT=7\nMETRICS_PORT="4000"\nKRONII_NODE=${HOME}\nKRONII_LEASE\n# x\n'
    )
    settings = read(tmp_path, METRICS_PORT="5000")
    assert (settings.worker_count, settings.metrics_port, settings.node) == (7, 5000, "${HOME}")


def test_empty_real_value_leaves_dotenv_in_force(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WORKER_COUNT=7\n")
    assert read(tmp_path, WORKER_COUNT="").worker_count == 7


def test_an_empty_value_in_dotenv_counts_as_unset(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WORKER_COUNT=\nKRONII_NODE=''\nKRONII_LEASE=\"\"\n")
    settings = read(tmp_path)
    assert (settings.worker_count, settings.node, settings.lease) == (5, None, 15)


def test_bad_value_in_dotenv_says_so(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WORKER_COUNT=x\n")
    with pytest.raises(ConfigError, match=r"WORKER_COUNT='x' \(in .env\): must be"):
        read(tmp_path)


def test_dotenv_with_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("\ufeffWORKER_COUNT=7\n".encode())
    assert read(tmp_path).worker_count == 7


def test_dotenv_directory(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(ConfigError, match=r"\.env can't be read: Is a directory"):
        read(tmp_path)


def test_dotenv_that_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(ConfigError, match=r"\.env can't be read: it is a pipe, and only a regular"):
        read(tmp_path)


def test_dotenv_that_has_no_end(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"#" * (dotenv.SIZE_LIMIT + 1))
    with pytest.raises(ConfigError, match=r"\.env can't be read: it is larger than 1 MiB"):
        read(tmp_path)


def test_dotenv_not_utf8(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe")
    with pytest.raises(ConfigError, match=r"\.env is not UTF-8 \(byte 3\)"):
        read(tmp_path)


def test_a_working_directory_that_may_not_be_entered_has_no_dotenv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, limit: int) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(dotenv, "read_file", refused)
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "closed")
    assert Settings.from_environment({"WORKER_COUNT": "3"}, tmp_path / "closed").worker_count == 3
    with pytest.raises(ConfigError, match=r"\.env can't be read: Permission denied"):
        Settings.from_environment({}, tmp_path / "open")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_dotenv_unreadable(tmp_path: Path) -> None:
    (tmp_path / ".env").touch(mode=0)
    with pytest.raises(ConfigError, match="Permission denied"):
        read(tmp_path)


def test_dotenv_broken_lines(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nthis is hunter2\nB=2\n'broken\n")
    with pytest.raises(ConfigError) as caught:
        read_dotenv(tmp_path / ".env")
    assert str(caught.value).splitlines()[0].endswith(".env:2: not a line of the form NAME=value")
    assert "hunter2" not in str(caught.value)


def test_nul_in_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"KRONII_JOBS_FILE=a\0b\n")
    with pytest.raises(ConfigError, match="the path of a file"):
        read(tmp_path)


def test_psycopg_is_not_imported_for_nothing() -> None:
    program = (
        "import sys, kronii.settings, pathlib as p; kronii.settings.Settings.from_environment({},"
        " p.Path('/')); "
    )
    subprocess.run(
        [sys.executable, "-c", program + "sys.exit('psycopg' in sys.modules)"], check=True
    )
