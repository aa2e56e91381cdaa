"""Job definitions: from `jobs.yaml` to `kronii.model.Definition`, or to every problem of the file
with its place.

    loader ─▶ parsing (source, syntax, tree, nodes) ─▶ inspection ─▶ document ─▶ definitions
                                                                        │
      jsonschema ─▶ keys ◀──────────────────────────────────────────────┘
                      └─▶ actions, http, retries ─▶ mappings, texts, numbers ─▶ rules ─▶ problems

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
