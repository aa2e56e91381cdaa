"""What people write who come from elsewhere, and what it is called here."""

from __future__ import annotations

from collections.abc import Container

_SYNONYMS = {
    "schedule": "cron",
    "expression": "cron",
    "crontab": "cron",
    "spec": "cron",
    "when": "cron",
    "tz": "timezone",
    "time_zone": "timezone",
    "cmd": "command",
    "run": "command",
    "shell": "command",
    "script": "command",
    "exec": "command",
    "args": "command",
    "function": "python",
    "callable": "python",
    "query": "sql",
    "statement": "sql",
    "request": "http",
    "webhook": "http",
    "environment": "env",
    "envs": "env",
    "workdir": "cwd",
    "working_dir": "cwd",
    "working_directory": "cwd",
    "directory": "cwd",
    "retry": "retries",
    "max_retries": "retries",
    "jitter": "splay",
    "misfire": "catch_up",
    "catchup": "catch_up",
    "disabled": "enabled",
    "active": "enabled",
    "id": "name",
    "title": "description",
    "comment": "description",
    "max_attempts": "attempts",
    "backoff": "delay",
    "data": "body",
    "status": "expect",
    "job": "jobs",
    "tasks": "jobs",
    "default": "defaults",
}


def synonym(word: str, known: Container[str]) -> str:
    """Return the known key that `word` is another word for, or an empty text."""
    key = _SYNONYMS.get(word.lower().replace("-", "_"), "")
    return key if key in known else ""
