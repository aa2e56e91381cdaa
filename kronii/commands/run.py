"""`kronii run`: an instance."""

from __future__ import annotations

import argparse
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kronii import isolation, ownership
from kronii.commands import session
from kronii.commands.arguments import Commands, add_command
from kronii.instance import init, start_state

if TYPE_CHECKING:
    from kronii.settings import Settings


def register(commands: Commands) -> None:
    """Add `run`."""
    parser = add_command(
        commands, "run", run, "runs an instance until TERM or INT; HUP reloads the jobs file"
    )
    parser.add_argument(
        "--embedded",
        action="store_true",
        help="an embedded PostgreSQL where DATABASE_URL is not set (extra kronii[embedded])",
    )
    parser.add_argument(
        "--no-migrate",
        action="store_true",
        help="leave the schema as it is (exit status 78 if it is too old), as KRONII_MIGRATE=false",
    )


def run(options: argparse.Namespace) -> int:
    """Run an instance until it is told to stop."""
    start_state.begin()
    if options.embedded:
        return _run_embedded(["--no-migrate"] if options.no_migrate else [])
    return _run_instance(may_migrate=not options.no_migrate)


def _run_embedded(words: list[str]) -> int:
    """Become `kronii run` with DATABASE_URL set; returns only if it comes to nothing."""
    from kronii.embedded.launcher import launch

    return launch(isolation.becoming("kronii", "run", *words))


def _run_instance(may_migrate: bool) -> int:
    _handle_early_signals()
    ended = init.divide()
    if ended is not None:
        return ended
    settings = _trusted(session.settings())
    settings = replace(settings, migrate=settings.migrate and may_migrate)
    from kronii.instance import service

    isolation.look_here_last()  # python jobs are imported from the working directory
    return service.run(settings)


def _trusted(settings: Settings) -> Settings:
    """The settings, with a warning where somebody else decides what runs here; raises ConfigError
    where that is refused.
    """
    found = ownership.check(Path.cwd(), "the working directory")
    return replace(settings, warnings=(*settings.warnings, found)) if found else settings


def _handle_early_signals() -> None:
    """Until the service has handlers of its own nothing runs here: a stop is an exit, and a reload
    has come already.
    """
    signal.signal(signal.SIGTERM, _exit_well)
    signal.signal(signal.SIGINT, _exit_well)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _exit_well(number: int, frame: object) -> None:
    """At once: an exception that meets an import half way may come out as another one."""
    os._exit(0)
