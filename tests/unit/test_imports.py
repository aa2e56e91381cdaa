"""The house: every room has its floor, and imports go down only.

What is imported for type checkers alone does not count; what a function imports when it runs does.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: The layers of `kronii/`: each may import from those above it in this list, none from its own.
FLOORS = (
    ("kronii", "errors", "suggestions", "backoff", "logs", "clock", "lease", "forks", "processes"),
    ("durations", "schedule", "address"),
    ("settings", "model"),
    ("catchup",),
    ("definitions", "embedded"),
    ("database",),
    ("guard",),
    ("actions",),
    ("web",),
    ("instance",),
    ("commands",),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

FILES = {
    path.relative_to(ROOT)
    .with_suffix("")
    .as_posix()
    .replace("/", ".")
    .removesuffix(".__init__"): path
    for path in sorted((ROOT / "kronii").rglob("*.py"))
}


def room(module: str) -> str:
    """`kronii.definitions.loader` is in `definitions`; the package itself is a room too."""
    return module.split(".")[1] if "." in module else module


def imported(module: str) -> Iterator[tuple[str, int]]:
    """Modules of the house that a module imports, each with its line."""
    for node in _walk(ast.parse(FILES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (
                (alias.name, node.lineno) for alias in node.names if room_of_house(alias.name)
            )
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: imports are absolute"
            if room_of_house(node.module or ""):
                yield from (
                    (_named(node.module or "", alias.name), node.lineno) for alias in node.names
                )


def room_of_house(name: str) -> bool:
    return name.split(".")[0] == "kronii"


def _named(package: str, name: str) -> str:
    return f"{package}.{name}" if f"{package}.{name}" in FILES else package


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from (inner for other in child.orelse for inner in _walk(other))
        else:
            yield from _walk(child)


def test_every_room_has_its_floor() -> None:
    assert {room(module) for module in FILES} == set(FLOOR)


@pytest.mark.parametrize("module", sorted(FILES))
def test_imports_go_down(module: str) -> None:
    up = [
        f"{FILES[module].relative_to(ROOT)}:{line}: {room(module)} imports {room(other)}, which is"
        " not on a lower floor"
        for other, line in imported(module)
        if room(other) != room(module) and FLOOR[room(other)] >= FLOOR[room(module)]
    ]
    assert up == []


def test_there_is_no_circle_of_modules() -> None:
    """Within a room, too; importing a module runs its package first."""
    graph = {
        module: {other for other, _ in imported(module) if other != module} for module in FILES
    }
    TopologicalSorter(graph).prepare()


def test_every_module_can_be_imported_alone() -> None:
    """In whatever order: a circle through a package's `__init__` shows only from one side."""
    modules = sorted({module for module in FILES if not module.endswith("__main__")})
    program = (
        "import importlib, sys\nfor name in sys.argv[1:]:\n    for known in [m for m in sys.modules"
        " if m.split('.')[0] == 'kronii']: del sys.modules[known]\n   "
        " importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *modules], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_only_the_border_and_its_neighbours_know_the_driver() -> None:
    """Rooms above it meet its errors as Kronii's own."""
    knowing = {module for module in FILES if "psycopg" in _foreign(module)}
    assert {
        "kronii.commands.main",
        "kronii.instance.scheduler",
        "kronii.instance.recorder",
        "kronii.instance.report",
        "kronii.web.metrics",
    } & knowing == set()


def _foreign(module: str) -> set[str]:
    names: set[str] = set()
    for node in _walk(ast.parse(FILES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names
