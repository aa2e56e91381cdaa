"""Who stands between us and the server, by what DATABASE_URL says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kronii.commands import accesschecks
from kronii.commands.grades import Grade


def looked(host: str, address: str = "", encrypted: bool = False, **parameters: str) -> Any:
    """What is said of such a connection."""
    info = SimpleNamespace(host=host, hostaddr=address, get_parameters=lambda: parameters)
    connection: Any = SimpleNamespace(info=info, pgconn=SimpleNamespace(ssl_in_use=encrypted))
    return accesschecks.transport(connection)


@pytest.fixture(autouse=True)
def libpq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesschecks.pq, "version", lambda: 170000)


@pytest.mark.parametrize(
    ("host", "address"),
    [("/run/postgresql", ""), ("@abstract", ""), ("localhost", "127.0.0.1"), ("x", "::1")],
)
def test_without_a_network_nobody_stands_between(host: str, address: str) -> None:
    assert looked(host, address)[0] is Grade.OK


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require"])
def test_who_is_not_verified_can_be_anybody(mode: str) -> None:
    grade, says = looked("db", "192.0.2.1", encrypted=True, sslmode=mode)
    assert grade is Grade.WARNING
    assert f"sslmode={mode} lets anybody" in says
    assert "sslmode=verify-full" in says
    assert "require_auth=scram-sha-256" in says
    assert "not encrypted" not in says


def test_what_is_not_said_is_what_libpq_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sslmode=prefer lets" in looked("db", "fe80::1%eth0")[1]
    assert looked("db", "192.0.2.1")[1].startswith("the connection is not encrypted; ")
    monkeypatch.setattr(accesschecks.pq, "version", lambda: 150000)  # it has no require_auth
    assert "require_auth" not in looked("db", "192.0.2.1")[1]


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_server_that_proves_who_it_is_is_well(mode: str) -> None:
    assert looked("db", "192.0.2.1", encrypted=True, sslmode=mode)[0] is Grade.OK


def test_a_password_that_only_scram_proves_is_asked_for_once() -> None:
    says = looked("db", "192.0.2.1", True, sslmode="require", require_auth="scram-sha-256")[1]
    assert "require_auth" not in says
