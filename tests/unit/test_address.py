"""DATABASE_URL: what libpq takes is taken, the rest is refused with a cure, and no password is ever
shown.
"""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from kronii.address import (
    MASK,
    checked_address,
    completed,
    masked,
    misplaced,
    without_secrets,
    without_userinfo,
)
from kronii.address.checking import ENCODE
from kronii.database.connections import connect_bare, secrets
from kronii.errors import ConfigError, KroniiError
from kronii.settings import Settings

NOWHERE = Path("/nonexistent")
#: What is nothing but a word, which a message about a number or a name may repeat.
PLAIN_WORDS = {"hunter2", "host=h hunter2", "hunter2://u@h/d", "host=h sslmode=hunter2"}

#: Connection strings of every form, right and wrong, with `hunter2` as password or a part of it.
SECRETS = [
    "postgresql://u:hunter2@h/d",
    "postgresql://u:hun@ter2@h/d",
    "postgresql://u:a@hunter2@h/d",
    "postgresql://u:hunter2/x@h/d",
    "postgresql://u:hunter2%zz@h/d",
    "postgresql://u:p?hunter2@h/d",
    "postgresql://u:a:hunter2@h:x/d",
    "postgresql+psycopg2://u:hunter2@h/d",
    "mysql://u:hunter2@h/d",
    "postgresql://u@h/d?password=hunter2&sslmode=require",
    "postgresql://u@h/d?pass%77ord=hunter2&x=1",
    "postgresql://u@h/d?sslpassword=hunter2&x=1",
    "postgresql://h/d?user=u;password=hunter2",
    "postgresql://h/d?user=u&passwort=hunter2",
    "u:hunter2@h/d",
    "postgres:/u:hunter2@h/d",
    "host=h password=hunter2",
    "host=h password = 'hun ter2 hunter2' dbname=d",
    r"host=h password='it\'s hunter2' x=y",
    "host=h password='hunter2",
    "host=h password=my hunter2 dbname=d",
    "password=hunter2 host",
    "HOST=h PASSWORD=hunter2",
    "host=h sslpassword=hunter2 oops=1",
    '"host=h password=hunter2"',
    "'postgresql://u:hunter2@h/d'",
    "host=h,password=hunter2",
    "host=h;password=hunter2",
    "host=h password:hunter2",
    "host=h passwd=hunter2",
    "host=h pwd=hunter2 port=1",
    "Server=h;Pwd=hunter2;Port=1",
    '"host=h password=a&hunter2"',
    "dbname=postgresql://u:hunter2@h/d",
    "dbname='postgresql://u:hunter2@h/d' x=y",
    "DATABASE_URL=postgresql://u:hunter2@h:99999/d",
    "postgresql://user@server:hunter2@host/db",
    "postgresql://user@server:1/hunter2@host/db",
    "postgresql://u:1234/hunter2@h/d",
    "postgresql://u:@hunter2@h/d",
    "postgresql://u:1234/hunter2@h1,h2:5433/d",
    "postgresql://u:hunter2@h1:1,h2:2/d",
    "postgresql://u@h1,hunter2@h2/d",
    "postgresql://u:%68unter2hunter2@h/d",
    "hunter2://u@h/d",
    "postgresql+hunter2://u@h/d",
    "host=h password=my hunter2=x",
    "host=h hunter2",
    "hunter2",
    "host=h options='-c my.password=hunter2'",
    "postgresql://u@h/d?options=-cmy.password%3Dhunter2",
    "host=h oauth_client_secret=hunter2",
    "host=h sslmode=hunter2",
    "host=h port=hunter2",
    "host=h password=hunter2\0",
]


def refusal(address: str) -> str:
    """What the user is told about a connection string; empty for one that is taken."""
    try:
        assert checked_address(address) == address
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("address", SECRETS)
def test_no_password_is_shown(address: str) -> None:
    assert "hunter2" not in masked(address)
    assert MASK in masked(address)
    assert "hunter2" not in refusal(address)
    assert "hunter2" not in said_of(address)


def said_of(address: str) -> str:
    """What the settings say of an address, in its own variable, and in the wrong one."""
    wrong = (
        () if address in PLAIN_WORDS else ("WORKER_COUNT", "KRONII_METRICS_HOST", "KRONII_LEASE")
    )
    return "\n".join(refused(name, address) for name in ("DATABASE_URL", *wrong))


def refused(name: str, text: str) -> str:
    try:
        Settings.from_environment({name: text}, NOWHERE)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "address",
    ["postgresql://u@h:5432/d?application_name=a@b", "host=h dbname=d", "", "postgresql://"],
)
def test_nothing_to_mask(address: str) -> None:
    assert masked(address) == address


#: Of these libpq takes `user:password`, or the whole address, for one part.
MISPLACED = [
    "postgres://kr%3Ahunter2@127.0.0.1/k",
    "postgres://kr%3ahunter2:x@127.0.0.1/k",
    "postgres://kr%253Ahunter2@127.0.0.1/k",
    "postgres://127.0.0.1/k?user=kr%3Ahunter2",
    "host=h user=kr:hunter2",
    "host=h user='kr:hunter2' dbname=d",
    "postgres:///kr%3Ahunter2%40h%2Fd",
    "host=h dbname=kr:hunter2@h/d",
    "host=h application_name=kr:hunter2@h/d",
]


@pytest.mark.parametrize("address", MISPLACED)
def test_a_password_in_a_part_that_is_shown(address: str) -> None:
    checked_address(address)
    assert masked(address) == MASK
    (hidden,) = misplaced(conninfo_to_dict(address))
    assert "hunter2" in hidden
    assert hidden in secrets(address)  # which the driver's words might repeat


def test_users_with_other_signs_are_shown() -> None:
    for address in ("postgres://u%40server@h/d", "host=h user=a@b.iam", "postgres://u%2Fv@h/d"):
        assert masked(address) == address


def test_masked_keeps_the_rest() -> None:
    assert (
        masked("postgresql://u:p@h:1/d?sslmode=require")
        == "postgresql://u:***@h:1/d?sslmode=require"
    )
    assert masked("host=h password=p dbname=d") == "host=h password=*** dbname=d"


@given(st.text())
def test_masked_takes_any_text(text: str) -> None:
    masked(text)


#: Passwords, with signs that mean something in an address; the letters are in no word of ours.
PASSWORDS = st.text("QXZ0189@:/?#%&='\\\" +[],;", min_size=4, max_size=20)

#: Ways to write an address, right and wrong: `{}` is the password as it is, `{url}` as a URL wants
#: it, `{kw}` as a keyword string does.
FORMS = (
    *("postgresql://u:{url}@h/d", "postgresql://u:{}@h/d", "postgresql://u@s:{}@h/d"),
    *("postgres://u:{}@h1:1,h2:2/d?sslmode=require", "postgresql://:{}@/d", "postgresql://u:{}@"),
    *("postgresql://u@h/d?password={}", "postgresql://u@h/d?password={url}&sslmode=require"),
    *("postgresql://h/d?user=u&sslpassword={}&x=y", "postgresql://u:x{}@h:5432,[::1]:1/d"),
    *("host=h password={kw} dbname=d", "host=h password={}", "password={} host=h port=1"),
    *("host=h password='{}' dbname=d", "host=h pasword={}", "host=h,password={}", "host={}"),
    *("dbname=postgresql://u:{}@h/d", "mysql://u:{}@h/d", "postgresql+psycopg2://u:{}@h/d"),
    *('"host=h password={}"', "u:{}@h/d", "h:{}", "{}", "DATABASE_URL={}", "service=s {}"),
    *("postgresql://u@h:{}/d", "postgresql://u@h/d?sslmode={}", "host=h connect_timeout={}x y"),
)


def written(form: str, password: str) -> str:
    quoted = password.replace("\\", r"\\").replace("'", r"\'")
    return (
        form.replace("{url}", urllib.parse.quote(password, ""))
        .replace("{kw}", f"'{quoted}'")
        .replace("{}", password)
    )


def pieces(password: str) -> set[str]:
    """Every four signs of it, as they are and as a URL has them."""
    parts = {password[at : at + 4] for at in range(len(password) - 3)}
    return parts | {urllib.parse.quote(part, "") for part in parts}


@given(st.sampled_from(FORMS), PASSWORDS)
def test_no_piece_of_a_password_is_shown_of_what_is_refused(form: str, password: str) -> None:
    address = written(form, password)
    said = refusal(address)
    if said or "word=" in form or form in FORMS[:2]:
        shown = f"{masked(address)} {said}".replace(ENCODE, "")
        assert [piece for piece in pieces(password) if piece in shown] == []


@given(st.sampled_from(FORMS[:2] + FORMS[10:11]), PASSWORDS)
@settings(max_examples=50)
def test_no_piece_of_a_password_is_in_what_the_driver_says(form: str, password: str) -> None:
    address = written(form, password).replace("@h/", "@127.0.0.1:1/").replace("=h ", "=127.0.0.1 ")
    address = address.replace("dbname=d", "port=1")
    with pytest.raises((KroniiError, ValueError)) as caught:
        connect_bare(checked_address(address), "test", 2.0).close()
    said = str(caught.value).replace(ENCODE, "")
    assert [piece for piece in pieces(password) if piece in said] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://u:pa/ss@h/x", "http://***@h/x"),
        ("https://token@github.com/x and more", "https://***@github.com/x and more"),
        ('{"password": "x y"}', '{"password": ***'),
        ("DB_PASSWD=x", "DB_PASSWD=***"),
        ("api-key: x", "api-key: x"),
        ("api_key: x", "api_key: ***"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("a@b, pass on", "a@b, pass on"),
    ],
)
def test_secrets_in_words_of_any_kind(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize("length", [8, 100, 3000])
def test_a_long_password_in_words_of_any_kind_is_hidden(length: int) -> None:
    """Where a token stands for one, as clouds give them, it has thousands of characters."""
    sentence = f"no answer of postgresql://u:{'x1-' * (length // 3)}@h/d"
    assert without_userinfo(sentence) == "no answer of postgresql://***@h/d"
    assert without_secrets(sentence) == "no answer of postgresql://***@h/d"


# -- what the environment adds -------------------------------------------------------------------


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in filter(lambda name: name.startswith("PG"), list(os.environ)):
        monkeypatch.delenv(name)
    return monkeypatch


def test_an_address_alone_stays_as_it_is(no_variables: pytest.MonkeyPatch) -> None:
    for address in ("postgresql://u@h/d", "", "host=h password='a b'", "service=none"):
        assert completed(address) == address


def test_libpqs_variables_are_in_the_address(no_variables: pytest.MonkeyPatch) -> None:
    said = {"PGPASSWORD": "it's", "PGHOST": "other", "PGUSER": "v", "PGSSLMODE": "require"}
    for name, value in said.items():
        no_variables.setenv(name, value)
    assert conninfo_to_dict(completed("postgresql://u@h/d")) == {
        "user": "u",
        "host": "h",
        "dbname": "d",
        "password": "it's",
        "sslmode": "require",
    }
    assert conninfo_to_dict(completed("dbname=d"))["user"] == "v"


def test_a_services_values_are_in_the_address(
    no_variables: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "services").write_text("[ours]\nhost=there\npassword=hunter2\nport=5432\n")
    no_variables.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    no_variables.setenv("PGHOST", "elsewhere")
    no_variables.setenv("PGPORT", "1")
    expected = {"host": "there", "password": "hunter2", "port": "5432", "dbname": "d"}
    assert conninfo_to_dict(completed("service=ours dbname=d")) == expected
    no_variables.setenv("PGSERVICE", "ours")
    assert conninfo_to_dict(completed("dbname=d")) == expected
    assert os.environ["PGSERVICE"] == "ours"
    assert conninfo_to_dict(completed("service=none"))["service"] == "none"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u@h/d",
        "postgres://a,b:5433/d?target_session_attrs=read-write",
        "postgresql://u:p@h1:1,h2:2/d?target_session_attrs=read-write",
        "postgresql://u:p%40q@[::1]:5432/d",
        "postgresql://%2Fvar%2Flib/d",
        "postgresql:///d?host=/tmp",
        "postgresql:///d?host=/tmp/x%20y&sslmode=verify-full",
        "postgresql://",
        "host=/run/postgresql dbname=x",
        "host=@abstract dbname=d",
        "host=db_1.example.com password='a b' passfile=/x",
        "dbname=d",
    ],
)
def test_what_libpq_takes_is_taken(address: str) -> None:
    assert refusal(address) == ""


HOST = "what it gives as host is none"
SSL_MODES = "disable, allow, prefer, require, verify-ca, verify-full"


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("'postgresql://h/d'", "remove the quotation marks around it"),
        ("postgresql+psycopg://u@h/d", "write postgresql:// for postgresql+psycopg://"),
        ("mysql://u@h/d", "mysql:// is not PostgreSQL"),
        ("host=h hots=x", "invalid connection option: did you mean host?"),
        ("postgresql://h/d?sslmod=on", "sslmod"),
        ("postgresql://h/d?sslmode=on", f"sslmode must be one of {SSL_MODES}"),
        ("postgresql://h:99999/d", "the port must be from 1 to 65535"),
        ("postgresql://u:a@b@h/d", HOST),
        ("host='a b'", HOST),
        ("host=h;x=1", HOST),
        ("postgresql://u:p%zz@h/d", "write signs such as @"),
        ("postgresql://u:12/34@h/d", "write signs such as @"),
        ("postgresql://h/d?application_name=a@b", "write signs such as @"),
        ("postgresql+hunter2://h/d", "what stands before :// is not postgresql"),
        ("host=h\0password=x", "it holds a NUL character"),
        ("host=h password='x", "in keywords, quote a value with spaces or signs"),
        ("dbname=postgresql://h/d x=y", "invalid connection option"),
        ("dbname=postgresql://h/d", "dbname is the name of a database alone"),
    ],
)
def test_what_is_refused_and_what_would_be_right(address: str, hint: str) -> None:
    assert hint in refusal(address)


@pytest.mark.parametrize("address", ["", "  ", "\n"])
def test_blank_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        checked_address(address)
