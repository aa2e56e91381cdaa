"""The table's side of the jobs file: recording it, registering it, settling when others come or go.

Each in a session of its own, and one at a time, whichever thread it is: with it changes which file
this instance holds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from kronii.database import rights, trust
from kronii.database.access import Database
from kronii.database.holding import Holding
from kronii.database.registration import Registered, record_file, register, settle_anew
from kronii.database.settling import Settled
from kronii.instance.upgrade import bring_up_to_date
from kronii.lease import Lease
from kronii.model import Definition


class Registrar:
    """Writes for one instance, in any thread."""

    def __init__(self, database: Database, lease: Lease, migrate: bool) -> None:
        """Nothing is recorded; `migrate`: whether the schema may be upgraded."""
        self._database = database
        self._lease = lease
        self._migrate = migrate
        #: Where the file that is held is recorded: `kronii_files.id`; 0: nowhere yet.
        self.file = 0
        self._definitions: Mapping[str, Definition] = {}
        self._lock = threading.Lock()

    @property
    def holding(self) -> Holding:
        """What this instance holds."""
        timings = self._lease.timings
        return Holding(self._lease.identity, self._database.node, self.file, timings.length)

    def prepare(self, definitions: Iterable[Definition]) -> None:
        """Bring the schema up to date and record a file.

        Raises:
            DatabaseUnavailable, DatabaseError, ConfigError: nothing is recorded.
        """
        with self._lock, self._database.for_registration() as connection:
            trust.require(connection)
            with rights.all_named(connection):
                bring_up_to_date(connection, self._migrate, self._database.node)
            rights.require(connection)
            self.file = record_file(connection, definitions)

    def register(self, definitions: Iterable[Definition], reload: bool = False) -> Registered:
        """Hold a file, and settle what is in force with it; `reload`: in place of another one.

        Raises:
            DatabaseUnavailable, DatabaseError, ConfigError: nothing is registered.
        """
        with self._lock, self._database.for_registration() as connection:
            trust.require(connection)
            registered = register(connection, self.holding, definitions, reload)
            self.file, self._definitions = registered.file, registered.runnable.file
        return registered

    def settle(self) -> Settled | None:
        """Settle what is in force when others have come or gone; None if this instance is taken for
        dead.

        Raises:
            DatabaseUnavailable, DatabaseError: it is to be tried again.
        """
        with self._lock, self._database.for_registration() as connection:
            return settle_anew(connection, self.holding, self._definitions)
