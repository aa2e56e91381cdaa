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
from pathlib import Path

from kronii.errors import ConfigError


def check(path: Path, what: str) -> str | None:
    """What is wrong with who may write `path` (`what` in a sentence); None if nothing is, and where
    there is nothing.  A file can be replaced by whoever may write its directory.

    Raises:
        ConfigError: something is, and we are root.
    """
    found = _found(path)
    if found is None:
        return None
    wrong = _wrong(found)
    if wrong is None and not stat.S_ISDIR(found.st_mode):
        wrong = _wrong_directory(path.resolve().parent)
    if wrong is None:
        return None
    sentence = f"{what} {wrong}"
    if os.geteuid() == 0:
        raise ConfigError(f"{sentence}; root runs nothing that others decide")
    return sentence


def _wrong_directory(directory: Path) -> str | None:
    """In a directory with the sticky bit nobody replaces what is another's (inode(7))."""
    found = _found(directory)
    if found is None or found.st_mode & stat.S_ISVTX:
        return None
    wrong = _wrong(found)
    return wrong and f"lies in {directory}, which {wrong}"


def _wrong(found: os.stat_result) -> str | None:
    if found.st_uid not in (0, os.geteuid()):
        return f"belongs to {_user(found.st_uid)}: `chown {_user(os.geteuid())}` it"
    if found.st_mode & stat.S_IWOTH:
        return "can be written by everybody: `chmod o-w` it"
    if found.st_mode & stat.S_IWGRP and not _is_private_group(found.st_gid, found.st_uid):
        return f"can be written by the group {_group(found.st_gid)}: `chmod g-w` it"
    return None


def _found(path: Path) -> os.stat_result | None:
    """What is there; None if nothing is, or nothing that can be written: on a file system that is
    mounted read-only (a container's configuration) modes say nothing.
    """
    try:
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return None
        return path.stat()
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
