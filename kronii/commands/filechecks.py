"""Is the jobs file right, and who decides what it holds?  What `kronii doctor` sees of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from kronii import definitions, ownership
from kronii.commands.grades import Check, Grade, Seen
from kronii.errors import ConfigError
from kronii.settings import Settings


def file(settings: Settings) -> Check:
    """The jobs file, and who may write what an instance would go by here."""
    seen = [_defined(settings.jobs_file), *_decided_by_others(settings)]
    grades = {grade for grade, _ in seen}
    worst = next(grade for grade in (Grade.PROBLEM, Grade.WARNING, Grade.OK) if grade in grades)
    return Check("file", worst, "; ".join(says for _, says in seen), ConfigError.exit_status)


def _defined(path: Path) -> Seen:
    checked = definitions.check(path)
    if checked.errors:
        count = len(checked.errors)
        return Grade.PROBLEM, f"{path} has {count} errors: `kronii validate` shows them"
    says = f"{path} defines {len(checked.definitions)} jobs"
    return (Grade.WARNING, f"{says}, with warnings") if checked.warnings else (Grade.OK, says)


def _decided_by_others(settings: Settings) -> Iterator[Seen]:
    """What `kronii run` would refuse, as root, or warn of."""
    for what, path in _deciding(settings).items():
        try:
            if odd := ownership.check(path, what):
                yield Grade.WARNING, odd
        except ConfigError as error:
            yield Grade.PROBLEM, str(error)


def _deciding(settings: Settings) -> Mapping[str, Path]:
    places = {
        "the working directory": Path.cwd(),
        str(settings.jobs_file): settings.jobs_file,
        ".env": Path(".env"),
    }
    address = settings.database_url_file
    return places | ({address: Path(address)} if address else {})
