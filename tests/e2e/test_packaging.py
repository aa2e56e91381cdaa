"""The wheel: what an installed Kronii needs is in it, and works without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kronii import __version__
from kronii.database import migrations
from tests.support import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources: the build leaves its traces there."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.cfg", "setup.py", "README.md", "LICENSE", "MANIFEST.in", "kronii", "sql"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    # With what is installed here: neither pip's legacy way nor a package index is needed.
    options = ["--no-deps", "--no-build-isolation", "--use-pep517", "--wheel-dir", str(target)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (found,) = target.glob("*.whl")
    return found


def test_the_wheel_has_everything(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"kronii-{__version__}.dist-info/METADATA").decode()
        scripts = archive.read(f"kronii-{__version__}.dist-info/entry_points.txt").decode()
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "kronii").rglob("*.py")}
    assert sources <= names
    assert {f"kronii/_sql/{path.name}" for path in (ROOT / "sql").glob("*.sql")} <= names
    assert "kronii/py.typed" in names
    assert any("LICENSE" in name for name in names)
    assert {name.split("/")[0] for name in names} == {"kronii", f"kronii-{__version__}.dist-info"}
    assert "Requires-Dist: psycopg[binary,pool]" in metadata
    assert "kronii = kronii.commands.main:main" in scripts


def test_the_wheel_works_without_the_checkout(
    wheel: Path, tmp_path: Path, empty_database_url: str
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "site"),
        "DATABASE_URL": empty_database_url,
    }
    script = (
        "import kronii, sys; from kronii.commands.main import main; print(kronii.__file__);"
        " sys.exit(main(['migrate']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        str(tmp_path / "site" / "kronii" / "__init__.py"),
        f"schema upgraded to version {migrations.latest()}",
    ]
