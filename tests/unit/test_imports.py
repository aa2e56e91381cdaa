"""Every package has its layer, and imports go one way only.

What is imported for type checkers alone does not count; what a function imports when it runs does.
"""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.properties import share

ROOT = Path(__file__).parents[2]

#: The packages and modules of `kronii/`, in order: each may import from those in layers before its
#: own, and from none beside it.
LAYERS = (
    # -- foundations
    ("visible", "isolation", "secrecy"),
    (
        "kronii",
        "errors",
        "suggestions",
        "backoff",
        "logs",
        "clock",
        "lease",
        "forks",
        "processes",
        "files",
        "controlgroups",
    ),
    ("durations", "address", "ownership"),
    ("schedule",),
    ("settings", "model"),
    ("catchup",),
    # -- packages, as a tick walks through them
    ("embedded",),
    ("definitions",),
    ("database",),
    ("guard",),
    ("actions",),
    ("web",),
    ("instance",),
    ("commands",),
    ("__main__",),
)
LAYER = {package: number for number, packages in enumerate(LAYERS) for package in packages}

FILES = {
    path.relative_to(ROOT)
    .with_suffix("")
    .as_posix()
    .replace("/", ".")
    .removesuffix(".__init__"): path
    for path in sorted((ROOT / "kronii").rglob("*.py"))
}


def package_of(module: str) -> str:
    """`kronii.definitions.loader` is in `definitions`, `kronii.clock` is itself, and so is
    `kronii`.
    """
    return module.split(".")[1] if "." in module else module


def imported(module: str) -> Iterator[tuple[str, int]]:
    """Modules of Kronii that a module imports, each with its line."""
    for node in _walk(ast.parse(FILES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: imports are absolute"
            if is_ours(node.module or ""):
                yield from (
                    (_named(node.module or "", alias.name), node.lineno) for alias in node.names
                )


def is_ours(name: str) -> bool:
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


def test_every_package_has_its_layer() -> None:
    assert {package_of(module) for module in FILES} == set(LAYER)


@pytest.mark.parametrize("module", sorted(FILES))
def test_imports_go_one_way(module: str) -> None:
    own = package_of(module)
    wrong = [
        f"{FILES[module].relative_to(ROOT)}:{line}: {own} imports {package_of(other)}, which is in"
        " no layer before its own"
        for other, line in imported(module)
        if package_of(other) != own and LAYER[package_of(other)] >= LAYER[own]
    ]
    assert wrong == []


def test_there_is_no_circle_of_modules() -> None:
    """Within a package, too, and none that shows only when a function runs."""
    graph = {
        module: {other for other, _ in imported(module) if other != module} for module in FILES
    }
    TopologicalSorter(graph).prepare()


def test_every_module_can_be_imported_alone() -> None:
    """In whatever order: a circle through a package's `__init__` shows only from one side."""
    modules = share(sorted({module for module in FILES if not module.endswith("__main__")}))
    program = (
        "import importlib, sys\nfor name in sys.argv[1:]:\n    for known in [m for m in sys.modules"
        " if m.split('.')[0] == 'kronii']: del sys.modules[known]\n   "
        " importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *modules],
        env={"PATH": os.environ["PATH"]},  # unmeasured: what is counted is that it ends
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_who_records_schedules_and_reports_does_not_know_the_driver() -> None:
    """They meet its errors as Kronii's own."""
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


# -- the map -------------------------------------------------------------------------------------


def rows(heading: str) -> list[list[str]]:
    """The names in the first column of the first table under a heading of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    lines = text.partition(f"\n{heading}\n")[2].splitlines()
    table = itertools.takewhile(
        lambda line: line.startswith("|"),
        itertools.dropwhile(lambda line: not line.startswith("|"), lines),
    )
    cells = [line.split("|")[1] for line in table]
    return [re.findall(r"`([^`]+)`", cell) for cell in cells[2:]]


def test_the_map_names_what_there_is_in_the_order_of_layers() -> None:
    """`name` is a module, `name/` a package."""
    table = rows("## Where things belong")
    there = {
        f"{package_of(module)}/" if (ROOT / "kronii" / package_of(module)).is_dir() else module[7:]
        for module in FILES
        if package_of(module) not in ("kronii", "__main__")
    }
    assert sorted(name for row in table for name in row) == sorted(there)
    layers = [[LAYER[name.rstrip("/")] for name in row] for row in table]
    assert all(max(before) <= min(after) for before, after in itertools.pairwise(layers))


def test_the_map_of_an_instance_names_every_module() -> None:
    table = rows("### Inside `instance/`")
    there = {path.stem for path in (ROOT / "kronii" / "instance").glob("*.py")} - {"__init__"}
    assert sorted(name for row in table for name in row) == sorted(there)
