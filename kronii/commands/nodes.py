"""`kronii nodes`: instances, what they hold and run, and who holds which lock."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from kronii.commands import session
from kronii.commands.arguments import Commands, add_command
from kronii.commands.output import print_json, print_table

#: Columns of the table for people.
COLUMNS = (
    *("name", "host", "pid", "workers", "alive", "started_at", "lease_until"),
    *("locks", "file", "file_since", "superseded", "running"),
)


def register(commands: Commands) -> None:
    """Add `nodes`."""
    add_command(
        commands,
        "nodes",
        nodes,
        "live instances, their workers, files and running jobs, and who holds which lock",
        reads=True,
    )


def nodes(options: argparse.Namespace) -> int:
    """Instances by name; with `--json` the locks too, one by one."""
    from kronii.commands.rows import rows

    with session.opened() as connection:
        files = {file.pop("id"): file for file in rows(connection, "list_files", {})}
        instances = [_with_file(node, files) for node in rows(connection, "list_nodes", {})]
        locks = rows(connection, "list_locks", {})
    if options.json:
        print_json({"nodes": instances, "locks": locks})
    else:
        print_table([_line(instance, locks) for instance in instances], COLUMNS)
    return 0


def _with_file(
    instance: dict[str, Any], files: Mapping[int | None, dict[str, Any]]
) -> dict[str, Any]:
    """With the digest of its file, since when that was first seen, and how many of its jobs are
    superseded; of an earlier release's nothing is known.
    """
    held = files.get(instance["file"])
    known = dict.fromkeys(("file", "file_since", "superseded")) if held is None else held
    return {**instance, **known}


def _line(instance: dict[str, Any], locks: list[dict[str, Any]]) -> dict[str, Any]:
    """An instance with its running jobs in one text, and the number of its locks."""
    return {
        **instance,
        "running": ", ".join(instance["running"]),
        "locks": sum(lock["node"] == instance["name"] for lock in locks),
    }
