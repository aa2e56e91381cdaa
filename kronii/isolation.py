"""Where modules come from: from where Kronii is installed, and not from where it was started.

`python -m` looks into the working directory first, so a `yaml.py` there would run in place of ours.
It comes last, for the functions of python jobs, and only once everything of ours is there: a name
that is looked for in vain (an optional part of a library) would be found in it.

The processes that Kronii starts of itself get their path from us.  The guard reads nothing of
Python's environment either (`-I`), whatever a job may have left there.

Nothing is imported here that the interpreter has not loaded already: this runs before the directory
is left.
"""

import os
import sys

#: Modules that libraries of ours load, or look for, when they need them.  (`zoneinfo` looks for
#: `tzdata` whenever it does not know a zone.)
LATE = ("psycopg_pool", "dotenv", "croniter", "tzdata")
#: Kronii itself is found where it was, though that is no place for others: a checkout may be the
#: working directory.
_BESIDE = "sys.path[:] = path[:1]; import kronii; sys.path[:] = path[1:];"
#: The first words of a program of ours, to which standard input says the rest.
_BEGIN = (
    "'{module}'; import json, sys; told = json.load(sys.stdin); path = told.pop('path');"
    f" {_BESIDE} from {{module}} import main; main(told)"
)
#: As `python -m`, with the path that the first argument says.
_BECOME = (
    "import json, runpy, sys; path = json.loads(sys.argv.pop(1)); del sys.argv[0];"
    f" {_BESIDE} runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


def leave_directory() -> None:
    """From now on no module is looked for in the working directory."""
    here = _here()
    sys.path[:] = [entry for entry in sys.path if not _is(entry, here)]


def look_here_last() -> None:
    """From now on modules are looked for in the working directory, too, after everywhere else.

    Called when all of ours is imported.
    """
    import importlib

    leave_directory()
    for name in LATE:
        try:
            importlib.import_module(name)
        except ImportError:  # nobody finds it from now on, wherever it lies
            sys.modules[name] = None  # type: ignore[assignment]
    sys.path.append(_here())


def own_path() -> list[str]:
    """Where Kronii is found, and then the path on which all else is, without the working
    directory.
    """
    here, ours = _here(), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return [ours, *dict.fromkeys(entry for entry in whole_path() if not _is(entry, here))]


def whole_path() -> list[str]:
    """The path on which this process looks, as another one may have it.  (Installed packages have
    entries of their own, which are no places.)
    """
    return [entry or _here() for entry in sys.path if not entry or os.path.isabs(entry)]


def command(module: str, flag: str) -> list[str]:
    """The command that calls `main` of a module of ours with what `told` was given; standard input
    has to be what that returned.

    Args:
        module: `kronii.…`.
        flag: `-I`, or `-P` where Python's environment variables are to count.
    """
    bytecode = ["-B"] if sys.dont_write_bytecode else []
    return [sys.executable, flag, *bytecode, "-c", _BEGIN.format(module=module)]


def told(task: dict[str, object]) -> int:
    """A file in memory that says what is to be done, and where modules are; a pipe might not hold
    it.

    Raises:
        OSError: there is no descriptor to be had.
    """
    import json

    fd = os.memfd_create("kronii-task")
    os.write(fd, json.dumps({"path": own_path(), **task}).encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def forget_told() -> None:
    """In the process that was told: from now on its standard input is an empty one."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def becoming(module: str, *words: str) -> list[str]:
    """The command that becomes a module of ours, as `python -m` would."""
    import json

    return [sys.executable, "-P", "-c", _BECOME, json.dumps(own_path()), module, *words]


def _is(entry: str, directory: str) -> bool:
    """True if an entry of the path is a directory; the empty one is the working directory."""
    return not entry or (os.path.isabs(entry) and os.path.realpath(entry) == directory)


def _here() -> str:
    """The working directory; where it is gone, a place that holds no modules."""
    try:
        return os.getcwd()
    except OSError:
        return os.devnull
