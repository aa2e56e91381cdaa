"""The benchmarks' own arithmetic: a bar that can't be missed, or a lost tick that is not counted,
would measure nothing.
"""

from __future__ import annotations

import re

import pytest

from bench import pgbench, scaling, table
from bench.peers.__main__ import read
from bench.rows import SOUND, Figure, Row


@pytest.mark.parametrize(
    ("figure", "rounds", "value", "passed"),
    [
        (Figure("p99", "ms", most=5), [4.0, 90.0, 5.0], 5.0, True),
        (Figure("p99", "ms", most=5), [4.0, 90.0, 5.1], 5.1, False),
        (Figure("share", "%", least=50), [49.0, 60.0, 50.0], 50.0, True),
        (Figure("share", "%", least=50), [49.0, 60.0, 49.9], 49.9, False),
        (SOUND[0], [0.0, 1.0, 0.0], 1.0, False),
        (Figure("jobs/s"), [1.0, 2.0, 3.0], 2.0, None),
    ],
)
def test_the_median_counts_and_of_faults_the_worst(
    figure: Figure, rounds: list[float], value: float, passed: bool | None
) -> None:
    assert figure.of(rounds) == value
    assert figure.passes(value) is passed


def test_a_row_passes_only_with_all_its_figures() -> None:
    row = Row("row", "a row", (Figure("late", "ms", most=5), *SOUND), lambda server, options: {})
    good = {"late": 5.0, "lost": 0.0, "doubled": 0.0}
    assert table.passed(row, [good])
    for broken in ({"late": 5.1}, {"lost": 1.0}, {"doubled": 1.0}):
        assert not table.passed(row, [good | broken])
        assert table.as_json(row, [good | broken])["passed"] is False


def stamps(*starts: tuple[int, int, float]) -> list[str]:
    """A line for each (job, tick, seconds late); the first start is far before the window, which
    begins at 1,008.
    """
    return ["0 1000 1000.001", *(f"{job} {tick} {tick + late}" for job, tick, late in starts)]


def test_ticks_of_a_peer_that_are_missing_or_run_twice_are_counted() -> None:
    ticks = [(job, tick, 0.002) for job in range(2) for tick in (1008, 1009)]
    assert (
        read("peer", 2, 2, stamps(*ticks)).lost,
        read("peer", 2, 2, stamps(*ticks)).doubled,
    ) == (0, 0)
    assert read("peer", 2, 2, stamps(*ticks[1:])).lost == 1
    assert read("peer", 2, 2, stamps(*ticks, ticks[3])).doubled == 1


def test_a_peer_that_tells_no_tick_is_taken_at_its_last_full_second() -> None:
    seen = read("peer", 1, 1, ["0  1000.5", "0  1008.25"])
    assert (seen.p50, seen.lost, seen.doubled) == (250.0, 0, 0)


def test_intervals_are_late_from_the_last_start() -> None:
    lines = [f"0  {1000.5 + second * 1.1}" for second in range(20)]
    seen = read("celery_redbeat", 1, 5, lines)
    assert seen.p50 == pytest.approx(100, abs=1)
    assert (seen.lost, seen.doubled) == (1, 0)  # four starts in five seconds


def test_pgbench_gets_statements_without_parameters_of_the_driver() -> None:
    script = pgbench._script()
    assert not re.search(r"%\(|--", script)
    assert script.count("gset") == 1
    assert script.count(";") == 2


def test_in_the_simulation_more_jobs_are_later_and_more_cores_take_more() -> None:
    few, many = (
        scaling.Simulation(1, 512, jobs, 2, scaling.Costs()).run(3) for jobs in (100, 5_000)
    )
    assert few.p99 < many.p99
    assert few.keeps_up
    assert not scaling.Simulation(1, 512, 200_000, 2, scaling.Costs()).run(3).keeps_up
    assert scaling.most(10, 512, 2, scaling.Costs()) < scaling.most(10, 512, 8, scaling.Costs())
