"""Roles of the server that a test makes for itself: they outlive its database, unless they go with
it.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
from psycopg.conninfo import make_conninfo

PASSWORD = "secret"


class Roles:
    """Roles for the database of `url`, whose own role may make them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._names: list[str] = []
        self._admin: psycopg.Connection[Any] | None = None

    @property
    def admin(self) -> psycopg.Connection[Any]:
        """A session of the server's own role, for whoever asks for one."""
        if self._admin is None:
            self._admin = psycopg.connect(self.url, autocommit=True)
        return self._admin

    def make(self, what: str = "role", options: str = "LOGIN") -> str:
        """A role's name; no two tests share one."""
        name = f"kronii_{what}_{uuid4().hex[:8]}"
        self.run(f"CREATE ROLE {name} {options} PASSWORD '{PASSWORD}'")
        self._names.append(name)
        return name

    def adopt(self, name: str) -> None:
        """Drop this one, too, in the end."""
        self._names.append(name)

    def run(self, *statements: str) -> None:
        """As the server's own role, in a session that ends."""
        with psycopg.connect(self.url, autocommit=True) as session:
            for statement in statements:
                session.execute(statement.encode())

    def run_as(self, role: str, *statements: str) -> None:
        """As this one, in a session of its own."""
        with self.session(role) as session:
            for statement in statements:
                session.execute(statement.encode())

    def session(self, role: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url_of(role), autocommit=True)

    def url_of(self, role: str, **more: str) -> str:
        """The database's address with this role."""
        return make_conninfo(self.url, user=role, password=PASSWORD, **more)

    def close(self) -> None:
        """Drop them, with all that they own and may in this database."""
        for name in reversed(self._names):
            self.run(f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")
        if self._admin is not None:
            self._admin.close()
