"""From the file to definitions."""

from __future__ import annotations

from tests.chaos.mutations.mutation import Mutation

LIMITS = "tests/unit/test_definitions_limits.py::test_"

MUTATIONS = (
    Mutation(
        "a wrong file takes the old one's place",
        "kronii/definitions/loader.py",
        "    if checked.errors:\n        raise DefinitionsError(checked.errors)\n",
        "",
        ("tests/e2e/test_reload.py::test_a_wrong_file_changes_nothing",),
    ),
    Mutation(
        "a text without an end is gone through by every rule",
        "kronii/definitions/tree.py",
        "        if len(event.value) > TEXT_LIMIT:\n",
        "        if False:\n",
        (LIMITS + "an_endless_value_is_refused_before_anybody_looks_at_it",),
    ),
    Mutation(
        "a file of values without end fills the memory",
        "kronii/definitions/tree.py",
        "            if count > EVENT_LIMIT:\n",
        "            if False:\n",
        (LIMITS + "a_file_of_values_without_end",),
    ),
    Mutation(
        "a text is longer than what it is for can take",
        "kronii/definitions/texts.py",
        "    if len(node.text) > longest:\n",
        "    if False:\n",
        (LIMITS + "each_text_has_its_own_bound",),
    ),
)
