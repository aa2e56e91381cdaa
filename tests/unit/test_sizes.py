"""Sizes and numbers: what comes from outside has an end that this host, the kernel and the server
can bear, and that nobody meets who means well.
"""

from __future__ import annotations

import errno
import os
import subprocess
import tracemalloc
import zoneinfo
from pathlib import Path

import pytest
import yaml

from kronii.commands.arguments import LARGEST_COUNT, count, duration
from kronii.definitions import check_text
from kronii.definitions.actions import LONGEST_ARGUMENT
from kronii.definitions.hiding import ShownKeys, guessed
from kronii.definitions.parsing import SIZE_LIMIT
from kronii.definitions.tree import EVENT_LIMIT
from kronii.schedule.zonefiles import counts_leap_seconds
from kronii.settings import DEFAULT_PORT
from kronii.web.listener import PORTS_TRIED

GIBIBYTE = 1 << 30
JOB = (
    "  - name: a_name_that_says_what_it_does_{}\n    cron: '0 {}/10 * * * *'\n    timeout: 1h30m\n"
    "    command: [find, /var/tmp/somewhere, -mtime, +7, -delete]\n    env: {{LANG: C, TZ: UTC}}\n"
)


# -- jobs.yaml -------------------------------------------------------------------------------------


def test_the_largest_document_that_is_read_fits_into_a_small_host() -> None:
    values = 5000
    text = f"jobs: [{{name: a, cron: '* * * * *', enabled: [{'1,' * values}]}}]"
    tracemalloc.start()
    try:
        assert len(check_text(text, "f").errors) == 1
        taken = tracemalloc.get_traced_memory()[1] / values
    finally:
        tracemalloc.stop()
    assert EVENT_LIMIT * taken < 2 * GIBIBYTE
    assert SIZE_LIMIT * 4 < GIBIBYTE, "as text a byte may take four"


def test_what_is_deepest_in_a_job_is_not_too_deep() -> None:
    http = "http: {url: 'http://a', headers: {Accept: text/plain}}"
    assert check_text(f"jobs: [{{name: a, cron: '@daily', {http}}}]", "f").errors == ()


def test_a_hundred_thousand_usual_jobs_are_read() -> None:
    jobs = [JOB.format(number, number) for number in range(100)]
    events = sum(1 for _ in yaml.parse("jobs:\n" + "".join(jobs)))
    assert events * 1000 <= EVENT_LIMIT
    assert len("".join(jobs)) * 1000 <= SIZE_LIMIT


def test_a_value_of_a_long_mapping_of_secrets_is_hidden_in_a_file_that_can_not_be_parsed() -> None:
    """Though its key is one whose value may be shown elsewhere."""
    lines = ["    env:", *["      A: x"] * 500, "      timeout: hunter2"]
    assert guessed(lines, 501, ShownKeys(frozenset({"timeout"}))) == [(15, -1)]
    assert guessed(["    timeout: 1h"], 0, ShownKeys(frozenset({"timeout"}))) == []


@pytest.mark.skipif(os.sysconf("SC_PAGE_SIZE") != 4096, reason="the kernel takes longer ones here")
def test_the_longest_argument_is_the_longest_that_the_kernel_takes() -> None:
    """What is longer is refused in the file, and not by each run."""
    assert subprocess.run(["true", "x" * LONGEST_ARGUMENT], check=False).returncode == 0
    with pytest.raises(OSError, match=os.strerror(errno.E2BIG)) as refusal:
        subprocess.run(["true", "x" * (LONGEST_ARGUMENT + 1)], check=False)
    assert refusal.value.errno == errno.E2BIG


# -- the command line ------------------------------------------------------------------------------


def test_since_for_ever_is_a_moment_that_the_server_knows() -> None:
    """Its first year is 4713 BC; and no run is from before Kronii."""
    days = duration("999999999d") / 86400
    assert 50 * 365 < days < (2000 + 4713) * 365


def test_the_largest_count_is_a_number_that_the_server_knows() -> None:
    assert 10_000 <= count(str(LARGEST_COUNT)) < 1 << 31


# -- the host --------------------------------------------------------------------------------------


def test_the_ports_that_are_tried_are_none_that_clients_are_given() -> None:
    """Linux takes them from 32,768 on; and a host may have a hundred instances."""
    assert PORTS_TRIED >= 100
    assert DEFAULT_PORT + PORTS_TRIED <= 32_768


def test_of_a_zone_file_only_its_beginning_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has put a film there has not put it into our memory."""
    with (tmp_path / "Film").open("wb") as file:
        file.write(b"TZif")
        file.truncate(GIBIBYTE // 16)
    monkeypatch.setattr(zoneinfo, "TZPATH", (str(tmp_path),))
    tracemalloc.start()
    try:
        assert not counts_leap_seconds("Film")
        assert tracemalloc.get_traced_memory()[1] < GIBIBYTE // 1024
    finally:
        tracemalloc.stop()
