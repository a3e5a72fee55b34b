"""Figures, checks and names of the benchmarks, on known numbers. The benchmarks themselves are no tests."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench import WORLDS, names
from tests.bench.knative.waterfall import PARTS, Moments, parts_of
from tests.bench.report import Check, Report, Result, percentile


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
    st.sampled_from([0.5, 0.95, 0.99, 1.0]),
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def test_a_result_sums_up_and_keeps_what_else_its_row_shows() -> None:
    result = Result.of("ours", [float(n) for n in range(1, 101)], errors=2, calls_s=7)
    assert (result.p50, result.p95, result.p99, result.max) == (50, 95, 99, 100)
    assert (result.n, result.errors, result.more) == (100, 2, {"calls_s": 7})


def test_a_side_that_never_answered_holds_nothing() -> None:
    result = Result.of("theirs", [], errors=5)
    assert math.isnan(result.p50)
    assert result.errors == 5
    assert not Check.at_most("p50", result.p50, 1e9).holds
    assert not Check.at_least("p50", result.p50, -1e9).holds


@pytest.mark.parametrize(
    ("check", "holds"),
    [
        (Check.at_most("ms", 1.0, 1.0, " ms"), True),
        (Check.at_most("ms", 1.1, 1.0, " ms"), False),
        (Check.at_least("calls", 9.0, 10.0), False),
        (Check.is_true("fact", True), True),
        (Check.is_true("fact", False), False),
    ],
)
def test_a_check_says_whether_it_holds(check: Check, holds: bool) -> None:
    assert check.holds is holds


def test_a_report_without_checks_or_with_a_broken_one_does_not_hold() -> None:
    report = Report("warm")
    assert not report.holds
    report.checks.append(Check.is_true("one", True))
    assert report.holds
    report.checks.append(Check.is_true("two", False))
    assert not report.holds
    assert report.document()["checks"][1]["what"] == "two"


def test_every_world_names_its_benchmarks_and_says_what_they_measure() -> None:
    found = {world: names(world) for world in WORLDS}
    assert {"cold-start", "warm", "publish", "release"} <= found["embedded"].keys() & found["knative"].keys()
    assert all(line.endswith(".") for lines in found.values() for line in lines.values())


_POD = Moments(created=10.1, scheduled=10.2, addressed=11.0)


@pytest.mark.parametrize(
    ("pod", "imported", "expected"),
    [
        (_POD, 10.7, [100, 100, 300, 200, 300, 50, 10]),
        # Code that is ready only after the kubelet told the address: the wait counts once.
        (Moments(created=10.1, scheduled=10.2, addressed=10.6), 11.0, [100, 100, 300, 500, 0, 50, 10]),
    ],
)
def test_the_parts_of_a_cold_start_add_up_to_the_whole(
    pod: Moments, imported: float, expected: list[float]
) -> None:
    said = {"started": 10.5, "imported": imported, "called": 11.05}
    spans = parts_of(10.0, 11.06, pod, said)
    assert len(spans) == len(PARTS)
    assert spans == pytest.approx(expected)
    assert sum(spans) == pytest.approx(1060)
