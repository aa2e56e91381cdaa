"""`python -m tests.matrix`: the tests on each PostgreSQL from 14 to 18 and each Python from 3.11
on, as far as they can be had; what can't is named with the reason.

Each server is tried with the Python that runs this, and each other Python with the newest server.
A server that is too old (13) must be refused.  Arguments after the options are tests (tests/unit
tests/database).  What is fetched and installed lies in `.kronii-matrix`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from kronii import embedded
from tests.matrix import servers
from tests.support.instances import KRONII, ROOT, environment

FOLDER = ROOT / ".kronii-matrix"
SERVERS, TOO_OLD = (14, 15, 16, 17, 18), 13
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
TESTS = ("tests/unit", "tests/database")

#: What was tried, whether it is well (None: it could not be tried), and what there is to say.
Row = tuple[str, bool | None, str]


def main() -> int:
    """Try all, one line each; 1 if one of them failed."""
    options = _arguments()
    rows = []
    for row in _rows(options):
        rows.append(row)
        what, well, says = row
        grade = {True: "ok", False: "FAILED", None: "not tried"}[well]
        print(f"{grade:10} {what:16} {says}", flush=True)
    passed = sum(bool(well) for _, well, _ in rows)
    failed = sum(well is False for _, well, _ in rows)
    print(f"{passed} passed, {failed} failed, {len(rows) - passed - failed} skipped")
    return int(bool(failed) or not passed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--postgres", type=int, nargs="*", default=[TOO_OLD, *SERVERS])
    parser.add_argument("--python", nargs="*", default=PYTHONS)
    parser.add_argument("--testers", type=int, default=2, help="tests at the same time (2)")
    parser.add_argument("tests", nargs="*", default=TESTS)
    return parser.parse_args()


def _rows(options: argparse.Namespace) -> Iterator[Row]:
    for version in options.postgres:
        yield _server(version, options)
    for version in options.python:
        yield _python(version, options)


# -- servers ---------------------------------------------------------------------------------------


def _server(version: int, options: argparse.Namespace) -> Row:
    what = f"PostgreSQL {version}"
    place, says = servers.programs(version, FOLDER)
    if place is None:
        return what, None, says
    if version < min(SERVERS):
        return what, *_refused(place)
    well, said = _tested(sys.executable, options, KRONII_PG_BIN=str(place))
    return what, well, f"{said} ({says})"


def _refused(place: Path) -> tuple[bool, str]:
    """True if a server of this version is refused by every command that meets it."""
    os.environ["KRONII_PG_BIN"] = str(place)
    try:
        with embedded.server() as url:
            environ = environment(DATABASE_URL=url, KRONII_JOBS_FILE=str(ROOT / "jobs.yaml"))
            commands = [
                subprocess.run(
                    [*KRONII, word], env=environ, cwd=FOLDER, capture_output=True, text=True
                )
                for word in ("run", "migrate", "doctor", "list")
            ]
    finally:
        del os.environ["KRONII_PG_BIN"]
    sentences = [done.stdout + done.stderr for done in commands]
    well = all(done.returncode == 78 for done in commands)
    well = well and all("or later: an older one does not end" in said for said in sentences)
    return well, "is refused with the reason" if well else repr(sentences)


# -- Pythons ---------------------------------------------------------------------------------------


def _python(version: str, options: argparse.Namespace) -> Row:
    what = f"Python {version}"
    program = _interpreter(version)
    if program is None:
        return what, None, "it is not installed, nor with pyenv"
    venv = FOLDER / f"venv-{version}"
    installed = subprocess.run(
        [ROOT / ".ci" / "venv", "test"],
        env={**os.environ, "VENV": str(venv), "PATH": f"{_alone(program)}:{os.environ['PATH']}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if installed.returncode:
        return what, False, installed.stderr.strip()[-300:]
    return what, *_tested(str(venv / "bin" / "python"), options)


def _interpreter(version: str) -> Path | None:
    """A Python of this version; a shim of pyenv's that leads nowhere is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    name = f"python{version}"
    candidates = [
        *pyenv.glob(f"{version}.*/bin/{name}"),
        Path(shutil.which(name) or "/nonexistent"),
    ]
    for program in candidates:
        if program.is_file():
            asked = subprocess.run([program, "--version"], capture_output=True)
            if not asked.returncode:
                return program
    return None


def _alone(program: Path) -> Path:
    """A folder in which `python3` is this one."""
    folder = FOLDER / f"bin-{program.name}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "python3").unlink(missing_ok=True)
    (folder / "python3").symlink_to(program)
    return folder


def _tested(python: str, options: argparse.Namespace, **environ: str) -> tuple[bool, str]:
    """Run the tests; whether they passed, and pytest's last line."""
    words = ["-q", "-p", "no:cacheprovider", "-n", str(options.testers)]
    done = subprocess.run(
        [python, "-m", "pytest", *words, *options.tests],
        env={**environment(), **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    lines = done.stdout.strip().splitlines() or [done.stderr[-300:]]
    if done.returncode:
        failing = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        return False, f"{lines[-1]}: {'; '.join(failing)[:2000]}"
    return True, lines[-1].strip("= ")


if __name__ == "__main__":
    sys.exit(main())
