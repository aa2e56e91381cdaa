"""Whether somebody else decides what a file or a directory holds.

Who may write the jobs file, `.env` or the directory that functions are imported from decides what
Kronii does, with all rights that it has.  cron refuses a crontab that its group or others may write
or that belongs to somebody else (crontab(5), cron's "BAD FILE MODE", "WRONG FILE OWNER"); so does
Kronii as root.  Where it has no more rights than its user it warns: whom a user trusts is known to
that user alone.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from kronii.errors import ConfigError

#: Links that the system follows on one way (path_resolution(7)).
LINKS = 40


def check(path: Path, what: str) -> str | None:
    """What is wrong with who may write `path` (`what` in a sentence); None if nothing is, and where
    there is nothing.  A file can be replaced by whoever may write its directory, and a directory by
    whoever may write one above it.

    Raises:
        ConfigError: something is, and we are root.
    """
    found = _found(path)
    if found is None:
        return None
    wrong = _wrong(found) or _wrong_way(path)
    if wrong is None:
        return None
    sentence = f"{what} {wrong}"
    if os.geteuid() == 0:
        raise ConfigError(f"{sentence}; root runs nothing that others decide")
    return sentence


def _wrong_way(path: Path) -> str | None:
    """What is wrong with what leads there, the nearest first."""
    return next(filter(None, map(_wrong_step, reversed([*_way(path)]))), None)


def _way(path: Path) -> Iterator[Path]:
    """Every directory and every link that leads to a path, from the root on, as the system goes
    (path_resolution(7)).
    """
    here, *names = map(Path, path.absolute().parts)
    links = 0
    while names and links <= LINKS:
        yield here
        # No link is left in `here`, so its parent is what `..` means.
        step = Path(os.path.normpath(here / names.pop(0)))
        target = _target(step)
        if target is None:
            here = step
            continue
        yield step
        links += 1
        here = Path(target.anchor) if target.is_absolute() else here
        names = [*map(Path, target.relative_to(target.anchor).parts), *names]


def _target(step: Path) -> Path | None:
    """Where a link leads; None of what is none."""
    try:
        return Path(os.readlink(step))
    except OSError:
        return None


def _wrong_step(step: Path) -> str | None:
    """In a directory with the sticky bit its owner alone replaces what is another's (inode(7)).
    Who made a link chooses where it leads.
    """
    found = _found(step, follow=False)
    if found is None:
        return None
    if stat.S_ISLNK(found.st_mode):
        wrong = _wrong_owner(found)
        return wrong and f"is reached by the link {step}, which {wrong}"
    wrong = _wrong_owner(found) if found.st_mode & stat.S_ISVTX else _wrong(found)
    return wrong and f"lies in {step}, which {wrong}"


def _wrong_owner(found: os.stat_result) -> str | None:
    if found.st_uid in (0, os.geteuid()):
        return None
    link = " -h" if stat.S_ISLNK(found.st_mode) else ""
    return f"belongs to {_user(found.st_uid)}: `chown{link} {_user(os.geteuid())}` it"


def _wrong(found: os.stat_result) -> str | None:
    if wrong := _wrong_owner(found):
        return wrong
    if found.st_mode & stat.S_IWOTH:
        return "can be written by everybody: `chmod o-w` it"
    if found.st_mode & stat.S_IWGRP and not _is_private_group(found.st_gid, found.st_uid):
        return f"can be written by the group {_group(found.st_gid)}: `chmod g-w` it"
    return None


def _found(path: Path, follow: bool = True) -> os.stat_result | None:
    """What is there; None if nothing is, or nothing that can be written: on a file system that is
    mounted read-only (a container's configuration) modes say nothing.  A link is as its directory.
    """
    is_link = not follow and _target(path) is not None
    try:
        if os.statvfs(path.parent if is_link else path).f_flag & os.ST_RDONLY:
            return None
        return path.stat(follow_symlinks=follow)
    except OSError:
        return None


def _is_private_group(group: int, owner: int) -> bool:
    """True for a user's own group, for the sake of which some distributions' umask is 002."""
    try:
        user, entry = pwd.getpwuid(owner), grp.getgrgid(group)
    except KeyError:
        return False
    own = user.pw_gid == group and entry.gr_name == user.pw_name
    return own and not set(entry.gr_mem) - {user.pw_name, "root"}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user id {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"with id {gid}"
