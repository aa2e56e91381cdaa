"""`python -m tests.chaos.mutations`: take each remedy out, and see its tests fail.

A test of a fault is worth what it says when the remedy is missing.  Each mutation is made in a copy
of the tree, where each of its tests, run alone, has to fail; in the tree as it is they pass (`make
test`, which checks the mutations' texts, too).  Arguments name mutations; without any all are
tried.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.chaos.mutations import MUTATIONS, Mutation
from tests.support.instances import ROOT, environment

#: What a copy of the tree goes without.
TRACES = (".kronii*", ".*_cache", ".hypothesis", "__pycache__", "build", "dist", "results")
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", *TRACES)
#: Seconds after which a test that hangs counts as one that failed.
LIMIT = 240


def main() -> int:
    """Try mutations; 1 if one of them is not noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.mutations")
    parser.add_argument("words", nargs="*", help="parts of the faults' names (default: all)")
    words = parser.parse_args().words
    chosen = [m for m in MUTATIONS if not words or any(word in m.fault for word in words)]
    unnoticed = [mutation for mutation in chosen if not _is_noticed(mutation)]
    print(f"{len(chosen) - len(unnoticed)} passed, {len(unnoticed)} failed")
    return int(bool(unnoticed) or not chosen)


def _is_noticed(mutation: Mutation) -> bool:
    if stale := [*mutation.problems(ROOT)]:
        print(f"STALE      {mutation.fault}: {'; '.join(stale)}", flush=True)
        return False
    with tempfile.TemporaryDirectory(prefix="kronii-mutation-", dir="/var/tmp") as folder:
        tree = Path(folder, "tree")
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        file = tree / mutation.file
        file.write_text(mutation.mutated(file.read_text("utf-8")), "utf-8")
        _check_instances(tree)
        noticed = [_fails(tree, mutation, test) for test in mutation.tests]
    return all(noticed)


def _environment(tree: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name == "KRONII_TEST_DATABASE_URL"}
    return environment(PYTHONPATH=str(tree), **kept)


def _check_instances(tree: Path) -> None:
    """What is installed must not be what the tests start; raises RuntimeError if it is."""
    asked = "import kronii, tests.support.instances as i; print(kronii.__file__, i.ROOT)"
    command, environ = [sys.executable, "-c", asked], _environment(tree)
    found = subprocess.run(command, cwd="/", env=environ, capture_output=True, text=True)
    if found.stdout.split() != [str(tree / "kronii" / "__init__.py"), str(tree)]:
        raise RuntimeError(f"not the mutated tree: {found.stdout}{found.stderr}")


def _fails(tree: Path, mutation: Mutation, test: str) -> bool:
    """True if the test failed (not merely could not be collected)."""
    options = ("-q", "-x", "-p", "no:cacheprovider", "--no-header")
    command = [sys.executable, "-m", "pytest", *options, test]
    try:
        done = subprocess.run(
            command, cwd=tree, env=_environment(tree), capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return _say(True, mutation, test, f"hung for {LIMIT} s")
    if "Timeout (" in done.stdout + done.stderr:
        return _say(True, mutation, test, "hung until pytest's own limit")
    lines = done.stdout.strip().splitlines() or ["nothing said"]
    failing = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    noticed = done.returncode == 1 and bool(failing)
    return _say(noticed, mutation, test, (failing or lines)[-1])


def _say(noticed: bool, mutation: Mutation, test: str, words: str) -> bool:
    print(f"{'noticed  ' if noticed else 'UNNOTICED'}  {mutation.fault}: {words[:140]}", flush=True)
    if not noticed:
        print(f"           by {test}", flush=True)
    return noticed


if __name__ == "__main__":
    sys.exit(main())
