"""One remedy, and how it is taken out; and whether its texts are still those of the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutation:
    """A text of a file replaced by another."""

    #: What goes wrong without the remedy.
    fault: str
    file: str
    #: The remedy's text, and what stands there without it.
    old: str
    new: str
    #: Tests of which each has to notice: `file::function`.
    tests: tuple[str, ...]
    #: How often the text stands in the file.
    times: int = 1

    def mutated(self, text: str) -> str:
        """The file's text without the remedy."""
        return text.replace(self.old, self.new)

    def problems(self, tree: Path) -> Iterator[str]:
        """Where its texts are not those of this tree."""
        file = tree / self.file
        if not file.is_file():
            yield f"there is no file {self.file}"
        elif (times := file.read_text("utf-8").count(self.old)) != self.times:
            yield f"{self.file} has {self.old!r} {times} times, not {self.times}"
        if not self.tests:
            yield "no test has to notice"
        for test in self.tests:
            yield from _missing(tree, test)


def constant(fault: str, file: str, line: str, value: str, *tests: str) -> Mutation:
    """A constant of `kronii/<file>` with a value that takes its protection away.

    Args:
        line: the constant with the value that it has.
        value: what stands there instead.
    """
    name = line.partition(" = ")[0]
    return Mutation(fault, f"kronii/{file}", f"{line}\n", f"{name} = {value}\n", tests)


def _missing(tree: Path, test: str) -> Iterator[str]:
    file, _, function = test.partition("::")
    if not (tree / file).is_file():
        yield f"there is no file {file}"
    elif function not in _functions(tree / file):
        yield f"{file} has no test {function!r}"


def _functions(file: Path) -> set[str]:
    module = ast.parse(file.read_text("utf-8"))
    return {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
