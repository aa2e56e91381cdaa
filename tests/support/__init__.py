"""What tests, chaos runs and benchmarks share: instances to start, and facts to wait for.

waiting ◀─ processes ◀─ record ◀─ instances ◀─ fleet
"""

from tests.support.fleet import EVERY_SECOND, RARELY, Fleet, seconds
from tests.support.instances import KRONII, ROOT, Instance
from tests.support.processes import alive
from tests.support.record import Line, overlaps
from tests.support.waiting import wait_until

__all__ = [
    "EVERY_SECOND",
    "KRONII",
    "RARELY",
    "ROOT",
    "Fleet",
    "Instance",
    "Line",
    "alive",
    "overlaps",
    "seconds",
    "wait_until",
]
