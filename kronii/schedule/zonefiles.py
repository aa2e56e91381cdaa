"""The files that zone rules are read from: whose version they are, and which count leap seconds."""

from __future__ import annotations

import contextlib
import os
import struct
import zoneinfo
from functools import lru_cache

#: A TZif header's numbers of: indicators of UT and of standard time, leap seconds, changes, types,
#: characters; and the bytes that each of these has in the block behind it (RFC 9636, 3.1 and 3.2).
_COUNTS, _SIZES = struct.Struct(">20x6L"), (1, 1, 8, 5, 6, 1)
#: Bytes of the largest zone file that is looked into; the largest of 2025b has 4,000.
_LARGEST = 64 * 1024
#: Files that name the version of all rules beside them: zic's input, which begins with
#: `# version 2026a`, and what FreeBSD and macOS have.
_VERSIONS = {"tzdata.zi": "# version ", "+VERSION": ""}


@lru_cache(maxsize=1)
def tzdata_version() -> str:
    """The version of the zone rules on this host, as `2026a`; `unknown` where nothing tells."""
    for folder in zoneinfo.TZPATH:
        for file, prefix in _VERSIONS.items():
            line = _start(os.path.join(folder, file), 64).decode("ascii", "replace").splitlines()
            if line and line[0].startswith(prefix):
                return line[0].removeprefix(prefix).strip()
        if os.path.isfile(os.path.join(folder, "UTC")):
            return "unknown"
    return _of_package()


def _of_package() -> str:
    """That of the package from PyPI, which zoneinfo reads where the system has nothing."""
    try:
        import tzdata  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return "unknown"
    return str(tzdata.IANA_VERSION)


def counts_leap_seconds(name: str) -> bool:
    """Whether the moments in a zone's file are not those of civil time (UTC without leap seconds),
    as those under `right/`.  `name` must be a zone.
    """
    for folder in zoneinfo.TZPATH:
        if content := _start(os.path.join(folder, name), _LARGEST):
            return _leap_seconds(content) > 0
    return False


def _leap_seconds(content: bytes) -> int:
    """Those of the block that is used: from version 2 on the second one."""
    counts = _COUNTS.unpack_from(content)
    if content[4:5] < b"2":
        return int(counts[2])
    behind = _COUNTS.size + sum(n * size for n, size in zip(counts, _SIZES, strict=True))
    return int(_COUNTS.unpack_from(content, behind)[2])


def _start(path: str, length: int) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(length)
    return b""
