"""The JSON Schema of jobs.yaml for editors, made from the loader's own rules.

`python -m kronii.definitions.jsonschema > jobs.schema.json` writes it anew.
"""

from __future__ import annotations

import json

from kronii.definitions.keys import ACTIONS, defaults_rules, job_rules
from kronii.definitions.mappings import keys_schema
from kronii.definitions.rules import Schema


def schema() -> Schema:
    """Return the schema (JSON Schema 2020-12)."""
    rules = job_rules()
    job = keys_schema(rules) | _one_action()
    defaults = keys_schema(defaults_rules(rules)) | _one_action()
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
    pairs = [(one, other) for index, one in enumerate(ACTIONS) for other in ACTIONS[index + 1 :]]
    return {"not": {"anyOf": [{"required": list(pair)} for pair in pairs]}}


def document() -> str:
    """Return the schema as the file holds it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(document(), end="")
