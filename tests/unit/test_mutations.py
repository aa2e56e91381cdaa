"""The mutations' texts are those of the code, and their tests are there: none can go stale."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.mutations import MUTATIONS, Mutation
from tests.support.instances import ROOT, environment


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.fault)
def test_a_mutations_texts_are_those_of_the_code(mutation: Mutation) -> None:
    assert [*mutation.problems(ROOT)] == []
    assert mutation.old != mutation.new


def test_each_mutation_has_a_name_of_its_own() -> None:
    names = Counter(mutation.fault for mutation in MUTATIONS)
    assert [name for name, count in names.items() if count > 1] == []


def test_stale_texts_are_said(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("if a:\n    pass\nif a:\n    pass\n")
    (tmp_path / "test_code.py").write_text("def test_it() -> None: ...\n")

    def said(file: str, old: str, *tests: str) -> list[str]:
        return [*Mutation("a fault", file, old, "", tests).problems(tmp_path)]

    assert said("code.py", "if a:\n    pass\nif", "test_code.py::test_it") == []
    assert said("code.py", "if a", "test_code.py::test_it") == ["code.py has 'if a' 2 times, not 1"]
    assert said("gone.py", "if a", "test_code.py::test_it") == ["there is no file gone.py"]
    assert said("code.py", "pass\nif", "test_code.py::test_that", "test_gone.py::test_it") == [
        "test_code.py has no test 'test_that'",
        "there is no file test_gone.py",
    ]
    assert said("code.py", "pass\nif") == ["no test has to notice"]


def test_instances_run_the_code_of_the_tree_that_the_tests_are_in(tmp_path: Path) -> None:
    """In a mutated copy, too, whatever is installed."""
    asked = [sys.executable, "-c", "import kronii; print(kronii.__file__)"]
    done = subprocess.run(
        asked, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == ROOT / "kronii" / "__init__.py"
