"""`kronii run` as an installed script: a python job's module in the working directory is found by
the instance just as by `validate`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg

from tests.support import ROOT, wait_until

#: What an installed `kronii` script does: its own folder comes first in sys.path, not the working
#: directory.
SCRIPT = (
    "import sys; sys.path[0] = '/usr/local/bin'; from kronii.commands.main import main;"
    " sys.exit(main({arguments!r}))"
)


def start(arguments: list[str], directory: Path, environ: dict[str, str]) -> subprocess.Popen[str]:
    names = ("PATH", "HOME", "TMPDIR")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "METRICS_PORT": "0",
        **environ,
    }
    command = [sys.executable, "-c", SCRIPT.format(arguments=arguments)]
    return subprocess.Popen(
        command, cwd=directory, env=environment, stderr=subprocess.PIPE, text=True
    )


def test_the_working_directory_is_where_modules_are_found(
    database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "kronii_here.py").write_text("def work():\n    pass\n")
    (tmp_path / "jobs.yaml").write_text(
        'jobs:\n  - {name: a, cron: "* * * * * *", python: "kronii_here:work"}\n'
    )
    validating = start(["validate"], tmp_path, {})
    assert (validating.communicate(timeout=30)[1], validating.returncode) == ("", 0)
    instance = start(["run"], tmp_path, {"DATABASE_URL": database_url})
    try:
        with psycopg.connect(database_url, autocommit=True) as connection:
            ended = wait_until(
                lambda: connection.execute(
                    "SELECT outcome, error FROM runs WHERE outcome <> 'running'"
                ).fetchall()
            )
        assert ended[0] == ("success", None)
    finally:
        instance.terminate()
        instance.communicate(timeout=30)
    assert instance.returncode == 0
