"""What libpq's own variables and its service file add to an address, once, at the start.

They are not for jobs, and so they leave the environment; what they said has to be in the address by
then.  libpq decides in this order: the address, the service that it names, the variables (manual,
"The Connection Service File", "Environment Variables").
"""

from __future__ import annotations

import os

#: The keyword for whose value libpq asks the system where nobody has given it.
_ASKED = "user"


def completed(address: str) -> str:
    """The address with what the environment adds to it; as it is where that is nothing.

    `address` is one that libpq takes.
    """
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    parts = conninfo_to_dict(address)
    service = str(parts.get("service") or os.environ.get("PGSERVICE") or "")
    usual, ours = _defaults(""), _defaults(service)
    known = not service or usual != ours
    added = {
        name: value
        for name, (value, compiled, variable) in ours.items()
        if value is not None
        and name not in parts
        and (value != usual[name][0] or variable in os.environ or _is_odd(name, value, compiled))
    }
    if service and known:
        parts.pop("service", None)
    elif not added:
        return address
    elif service:
        parts["service"] = service  # libpq says that there is none
    return make_conninfo("", **{**parts, **added})


def _is_odd(name: str, value: str, compiled: str | None) -> bool:
    return name != _ASKED and value != compiled


def _defaults(service: str) -> dict[str, tuple[str | None, str | None, str]]:
    """libpq's keywords: the value under a service and this environment, the value that was compiled
    in, and the variable.
    """
    from psycopg.pq import Conninfo

    before = os.environ.pop("PGSERVICE", None)
    try:
        if service:
            os.environ["PGSERVICE"] = service
        options = Conninfo.get_defaults()
    finally:
        os.environ.pop("PGSERVICE", None)
        if before is not None:
            os.environ["PGSERVICE"] = before
    return {
        option.keyword.decode(): (_text(option.val), _text(option.compiled), _name(option.envvar))
        for option in options
        if option.keyword not in (b"service", b"servicefile")
    }


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _name(variable: bytes | None) -> str:
    return (variable or b"").decode()
