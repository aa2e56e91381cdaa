"""What all parts of an instance share: built first, and nothing here knows who uses it."""

from __future__ import annotations

from dataclasses import dataclass

from kronii.clock import DatabaseClock
from kronii.database.access import Database
from kronii.instance.committed import Committed
from kronii.instance.inflight import InFlight
from kronii.instance.jobs import Jobs
from kronii.instance.report import RunReport
from kronii.instance.supervisor import Supervisor
from kronii.instance.wakeup import Wakeup
from kronii.lease import Lease
from kronii.settings import Settings, default_node
from kronii.web.metrics import Metrics


@dataclass(frozen=True)
class Shared:
    """The instance's name, its address of the database, and its small shared objects."""

    node: str
    database: Database
    lease: Lease
    clock: DatabaseClock
    wakeup: Wakeup
    supervisor: Supervisor
    metrics: Metrics
    inflight: InFlight
    committed: Committed
    jobs: Jobs

    @classmethod
    def of(cls, settings: Settings, port: int) -> Shared:
        """Build them for an instance that listens on `port`.

        Raises:
            ConfigError: DATABASE_URL is not set.
            DefinitionsError: the jobs file can't be used.
        """
        node = settings.node or default_node(port)
        database = Database.of(settings, node)
        wakeup, metrics, lease = Wakeup(), Metrics(node), Lease(database.timings)
        return cls(
            node=node,
            database=database,
            lease=lease,
            clock=DatabaseClock(),
            wakeup=wakeup,
            supervisor=Supervisor(wakeup, metrics),
            metrics=metrics,
            inflight=InFlight(settings.worker_count, wakeup),
            committed=Committed(metrics, RunReport(), wakeup),
            jobs=Jobs(settings.jobs_file, database, lease, metrics, settings.migrate),
        )
