"""DATABASE_URL: what libpq takes is taken, the rest is refused with a cure, and no password is ever
shown.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronii.address import MASK, checked_address, masked

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


@pytest.mark.parametrize(
    "address",
    ["postgresql://u@h:5432/d?application_name=a@b", "host=h dbname=d", "", "postgresql://"],
)
def test_nothing_to_mask(address: str) -> None:
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
        ("host=h hots=x", 'invalid connection option "hots"'),
        ("postgresql://h/d?sslmod=on", "sslmod"),
        ("postgresql://h/d?sslmode=on", f"sslmode must be one of {SSL_MODES}"),
        ("postgresql://h:99999/d", "the port must be from 1 to 65535"),
        ("postgresql://u:a@b@h/d", HOST),
        ("host='a b'", HOST),
        ("host=h;x=1", HOST),
        ("postgresql://u:p%zz@h/d", "write signs such as @"),
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
