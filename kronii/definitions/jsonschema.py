"""The JSON Schema of jobs.yaml for editors, made from the loader's own rules.

`python -m kronii.definitions.jsonschema > jobs.schema.json` writes it anew.
"""

from __future__ import annotations

import json
from itertools import combinations

from kronii.definitions.actions import ACTION_RULES
from kronii.definitions.keys import DEFAULTS_RULES, JOB_RULES
from kronii.definitions.mappings import keys_schema
from kronii.definitions.rules import Schema


def schema() -> Schema:
    """Return the schema (JSON Schema 2020-12)."""
    job = keys_schema(JOB_RULES) | _one_action()
    defaults = keys_schema(DEFAULTS_RULES) | _one_action()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Kronii's jobs.yaml",
        "type": "object",
        "properties": {
            "defaults": (
                defaults | {"description": "What holds for every job that does not say otherwise."}
            ),
            "jobs": {"type": "array", "items": job, "minItems": 1, "description": "The jobs."},
        },
        "patternProperties": {"^x-": {"description": "Anything, for anchors."}},
        "additionalProperties": False,
        "required": ["jobs"],
    }


def _one_action() -> Schema:
    pairs = combinations(ACTION_RULES, 2)
    return {"not": {"anyOf": [{"required": list(pair)} for pair in pairs]}}


def document() -> str:
    """Return the schema as the file holds it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(document(), end="")
