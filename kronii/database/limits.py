"""The settings of sessions, and the time limits on both ends of the network.

A cut cable is noticed by us, and frees the locks on the server, after the same time.
"""

from __future__ import annotations

from typing import Any

from kronii.errors import ConfigError

#: PostgreSQL's oldest version that Kronii works with.
OLDEST = 14

#: Settings of every session.
COMMON = {
    "client_encoding": "UTF8",
    "timezone": "UTC",
    "default_transaction_isolation": "read committed",
    "synchronous_commit": "on",
    "datestyle": "ISO",
    "jit": "off",
    "lock_timeout": "5s",
    # A dead client's session that a middlebox keeps open holds no row for longer than this.
    "idle_in_transaction_session_timeout": "30s",
    "standard_conforming_strings": "on",
}

#: Settings that only our own statements rely on: whatever role, database or address say of them,
#: they mean what they were tested with.  An sql job's session has them as its users do.
OURS = {
    # Arrays are sent as text, with NULL for what is not there.
    "array_nulls": "on",
    "transform_null_equals": "off",
    "extra_float_digits": "1",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    # A policy that would hide rows from us is an error; as a rule, ticks would be lost silently.
    "row_security": "off",
    # What a role may not do is no reason to end its session.
    "exit_on_error": "off",
    "default_transaction_deferrable": "off",
    "temp_tablespaces": "",
    "default_table_access_method": "heap",
}

#: For sessions that run the same prepared statements again and again.  Their plans walk indexes
#: whatever the parameters are, and are made once: a planner that knows how many rows come reads all
#: of `jobs` to finish 500 of them.
PLANS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}


#: For a job's own statements: what it waits for, and how long it idles, is its own affair.
UNLIMITED = {"lock_timeout": "0", "idle_in_transaction_session_timeout": "0"}


def statement_limit(seconds: float) -> dict[str, str]:
    """The setting that bounds each statement."""
    return {"statement_timeout": f"{max(1, round(seconds * 1000))}ms"}


def our_settings(version: int) -> dict[str, str]:
    """Settings of every session but an sql job's, on a server of `version` (as 150004)."""
    return OURS | ({"transaction_timeout": "0"} if version >= 170000 else {})


def lock_limit(seconds: float) -> dict[str, str]:
    """The setting that bounds the wait for each lock."""
    return {"lock_timeout": f"{max(1, round(seconds * 1000))}ms"}


def client_limits(network: float) -> dict[str, Any]:
    """Our end, as libpq's parameters: a dead server is noticed after `network` seconds."""
    return {
        "connect_timeout": max(2, round(network)),
        "keepalives": 1,
        "keepalives_idle": _probe(network),
        "keepalives_interval": _probe(network),
        "keepalives_count": 2,
        "tcp_user_timeout": round(network * 1000),
    }


def server_limits(network: float) -> dict[str, str]:
    """The server's end, as its settings: a dead client is noticed after `network` seconds, idle or
    with an answer under way.
    """
    return {
        "tcp_keepalives_idle": str(_probe(network)),
        "tcp_keepalives_interval": str(_probe(network)),
        "tcp_keepalives_count": "2",
        "tcp_user_timeout": str(round(network * 1000)),
        "client_connection_check_interval": f"{max(500, round(network * 500))}ms",
        "idle_session_timeout": "0",
    }


def check_version(version: int) -> None:
    """Refuse a server that is too old; `version` is as the server has it: 150004 for 15.4.

    14 is the oldest that ends the statement of a dead client (`client_connection_check_interval`,
    PostgreSQL 14's release notes), and with it the locks of a dead instance; the last release of 13
    was that of November 2025 (postgresql.org/support/versioning).

    Raises:
        ConfigError: it is older than OLDEST.
    """
    if version < OLDEST * 10000:
        raise ConfigError(
            f"the server is PostgreSQL {version // 10000}, and Kronii needs {OLDEST} or later:"
            " an older one does not end the statements of an instance that is dead"
            " (client_connection_check_interval came with 14), and is out of support"
        )


def _probe(network: float) -> int:
    """Whole seconds between two probes: one after idling, and two that are not answered."""
    return max(1, round(network / 3))
