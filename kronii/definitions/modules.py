"""Whether a Python module can be found, without importing it or any of its parents.

`importlib.util.find_spec("a.b")` imports `a`, and a definition must never execute anything by being
loaded.  So every part of the name is looked up by itself, the next one on the path that the last
one's specification names.
"""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder

from kronii.suggestions import did_you_mean


def _working_directory() -> str:
    """The working directory; where it is gone, a place that holds no modules."""
    try:
        return os.getcwd()
    except OSError:
        return os.devnull


class Modules:
    """Answers for one file, each module looked up once."""

    def __init__(self, directory: str | None = None) -> None:
        #: Where an instance looks: in the working directory last.
        here = directory or _working_directory()
        self.path = [*(entry or here for entry in sys.path), here]
        self._answers: dict[str, str] = {}

    def why_missing(self, name: str) -> str:
        """Return why a module can't be found, with a near name if there is one, or nothing if it
        can.
        """
        if name not in self._answers:
            self._answers[name] = "" if name in sys.modules else self._why_missing(name.split("."))
        return self._answers[name]

    def _why_missing(self, parts: list[str]) -> str:
        path: Sequence[str] | None = None
        for index, part in enumerate(parts):
            spec = self._top(part) if path is None else PathFinder.find_spec(part, path)
            if spec is None:
                return (
                    f"there is no module {'.'.join(parts[: index + 1])!r}{self._near(part, path)}"
                )
            path = list(spec.submodule_search_locations or ())
            if not path and index + 1 < len(parts):
                return (
                    f"{'.'.join(parts[: index + 1])!r} is a module, not a package: it holds no"
                    f" {parts[index + 1]!r}"
                )
        return ""

    def _top(self, name: str) -> ModuleSpec | None:
        """Look up a top-level module as an import would: built-in and frozen ones, the path,
        editable installations.
        """
        for finder in sys.meta_path:
            spec = finder.find_spec(name, None)
            if spec is not None:
                return spec
        return PathFinder.find_spec(name, self.path)

    def _near(self, part: str, path: Sequence[str] | None) -> str:
        known = {
            module.name for module in pkgutil.iter_modules(self.path if path is None else path)
        }
        return did_you_mean(
            part, known | (set(sys.builtin_module_names) if path is None else set())
        )
