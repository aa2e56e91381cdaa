"""From the file to definitions."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

MUTATIONS = (
    Mutation(
        "a wrong file takes the old one's place",
        "kronii/definitions/loader.py",
        "    if checked.errors:\n        raise DefinitionsError(checked.errors)\n",
        "",
        ("tests/e2e/test_reload.py::test_a_wrong_file_changes_nothing",),
    ),
)
