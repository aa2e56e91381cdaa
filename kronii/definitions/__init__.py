"""Job definitions: from `jobs.yaml` to `kronii.model.Definition`, or to every problem of the file
with its place.

    text ─▶ source ─▶ tree ─▶ inspection ─▶ loader ─▶ definitions
                                              │ keys, actions ◀─ mappings ◀─ rules
                              problems ◀──────┘            jsonschema ◀─┘

Loading executes nothing: YAML's nodes are never constructed as objects, modules are found and not
imported.
"""

from kronii.definitions.loader import Checked, Loaded, check, check_text, load, load_text
from kronii.definitions.problems import DefinitionsError, Problem

__all__ = [
    "Checked",
    "DefinitionsError",
    "Loaded",
    "Problem",
    "check",
    "check_text",
    "load",
    "load_text",
]
