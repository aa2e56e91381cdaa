"""The shape of the code: short functions, small files and classes, lines that fit."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {path: path.read_text("utf-8") for path in sorted((ROOT / "kronii").rglob("*.py"))}

#: Lines at the most: of a function and of a file in the middle, and of any class and any file.
FUNCTION, FILE, LARGEST_CLASS, LARGEST_FILE = 7, 150, 150, 400
COLUMNS = 100


def lengths(kind: type[ast.AST]) -> Iterator[tuple[str, int]]:
    """Every definition of a kind, nested ones too, and its lines: signature and docstring
    included.
    """
    for path, text in MODULES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, kind):
                assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                assert node.end_lineno is not None
                name = f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
                yield name, node.end_lineno - node.lineno + 1


def test_functions_are_short_by_the_median() -> None:
    assert median(lines for _, lines in lengths(ast.FunctionDef)) <= FUNCTION


def test_files_are_small_by_the_median() -> None:
    assert median(text.count("\n") for text in MODULES.values()) <= FILE


def test_no_class_is_large() -> None:
    assert {name: n for name, n in lengths(ast.ClassDef) if n > LARGEST_CLASS} == {}


def test_no_file_is_large() -> None:
    sizes = {str(path.relative_to(ROOT)): text.count("\n") for path, text in MODULES.items()}
    assert {name: lines for name, lines in sizes.items() if lines > LARGEST_FILE} == {}


@pytest.mark.parametrize(
    "pattern", ["*.py", "bench/**/*.py", "kronii/**/*.py", "tests/**/*.py", "sql/*.sql"]
)
def test_lines_fit(pattern: str) -> None:
    files = [*ROOT.glob(pattern)]
    assert files
    assert [
        f"{path.relative_to(ROOT)}:{number}: {len(line)} columns"
        for path in files
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if len(line) > COLUMNS
    ] == []
