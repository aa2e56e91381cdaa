"""A fleet in the schema that KRONII_SCHEMA names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import Identifier

from tests.support.fleet import Fleet


class Named(Fleet):
    """As any fleet, beside others of its database."""

    def __init__(self, url: str, directory: Path, schema: str) -> None:
        directory.mkdir(exist_ok=True)
        super().__init__(url, directory)
        self.schema = schema

    def environment(self, **environ: str) -> dict[str, str]:
        return super().environment(**{"KRONII_SCHEMA": self.schema, **environ})

    @property
    def connection(self) -> psycopg.Connection[dict[str, Any]]:
        """A session of the test's own, in that schema."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                str(self.url), autocommit=True, row_factory=dict_row, prepare_threshold=None
            )
            self._connection.execute(
                "SELECT set_config('search_path', %s, false)",
                [Identifier(self.schema).as_string(None)],
            )
        return self._connection
