"""Below all packages: logs, lease, schedule, catch-up."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

MUTATIONS = (
    Mutation(
        "a full disk under the log stops the scheduler",
        "kronii/logs/handler.py",
        "        except (OSError, ValueError):",
        "        except ZeroDivisionError:",
        (
            "tests/chaos/test_host.py::test_a_full_disk_under_the_log",
            "tests/unit/test_logs.py::test_a_full_disk_loses_lines_and_counts_them",
        ),
    ),
    Mutation(
        "a stopped reader of the log stops the scheduler",
        "kronii/logs/handler.py",
        "if self._poll is not None and not self._poll.poll(",
        "if False and not self._poll.poll(",
        ("tests/unit/test_logs.py::test_a_reader_that_stopped_stops_nobody",),
    ),
)
