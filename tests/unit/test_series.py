"""What a call adds to the series, quantiles from buckets, and spans in whole steps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.metering import Call, InstanceStart, StreamState, rate
from control_plane.domain.series import BUCKETS_MS, SUMS, of_event, quantiles, span_of
from control_plane.domain.waterfall import waterfall
from control_plane.errors import Invalid

HOUR = 3_600_000


def a_call(**changes: Any) -> Call:
    call = Call(
        "1-a",
        "",
        "org",
        "prj",
        "fn",
        "v",
        "k",
        "t",
        1_000,
        "GET",
        200,
        "--",
        "",
        3,
        2,
        40,
        45,
        1,
        2,
        False,
        128,
    )
    return call._replace(**changes)


def added(call: Call, **more: Any) -> dict[str, int]:
    return {name: value for name, value in zip(SUMS, of_event(rate(call, **more)), strict=True) if value}


def test_a_good_call_adds_its_time_to_one_bucket() -> None:
    bucket = f"bucket_{BUCKETS_MS.index(50)}"
    assert added(a_call()) == {"calls": 1, "queue_ms": 3, "duration_ms": 40, bucket: 1}


def test_a_refused_call_has_a_fault_and_no_duration() -> None:
    refused = a_call(refusal="key_scope", status=403, target="", queue_ms=-1, connect_ms=-1, response_ms=-1)
    assert added(refused) == {"calls": 1, "caller_faults": 1}


def test_a_cold_failure_and_an_open_stream() -> None:
    cold = added(a_call(status=500), ready_ms=1_020)
    assert (cold["author_faults"], cold["cold_calls"], cold["duration_ms"]) == (1, 1, 40)
    assert added(a_call(streaming=True), stream=StreamState.OPEN) == {"calls": 1, "queue_ms": 3}


@given(st.lists(st.integers(0, 29_999), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(durations: list[int], part: float) -> None:
    buckets = [0] * (len(BUCKETS_MS) + 1)
    for duration in durations:
        for place, value in zip(SUMS, of_event(rate(a_call(response_ms=duration))), strict=True):
            if place.startswith("bucket_"):
                buckets[int(place.removeprefix("bucket_"))] += value
    assert sum(buckets) == len(durations)
    true = sorted(durations)[max(-(-int(part * 1000) * len(durations) // 1000) - 1, 0)]
    upper = next(bound for bound in BUCKETS_MS if true <= bound)
    lower = max((bound for bound in BUCKETS_MS if bound < true), default=0)
    [found] = quantiles(buckets, [part]) or []
    assert lower <= found <= upper


def test_a_quantile_of_nothing_is_nothing_and_above_all_bounds_it_is_the_last() -> None:
    assert quantiles([0] * 15, [0.5]) is None
    assert quantiles([0] * 14 + [3], [0.5, 0.95]) == [BUCKETS_MS[-1]] * 2


def test_spans_are_whole_steps() -> None:
    span = span_of(61_000, 3 * 60_000 + 1, 60, shortest_s=60)
    assert (span.start_ms, span.end_ms, list(span.steps())) == (
        60_000,
        240_000,
        [60_000, 120_000, 180_000],
    )
    assert len(span_of(0, 7 * 24 * HOUR, 0, shortest_s=60).steps()) <= 61
    assert span_of(0, HOUR, 0, shortest_s=10).step_ms == 60_000


@pytest.mark.parametrize(
    ("start", "end", "step", "field"),
    [(5, 5, 60, "/from"), (0, HOUR, 61, "/step"), (0, HOUR, 30, "/step"), (0, 90_061_000, 60, "/step")],
)
def test_spans_that_no_series_has_are_refused(start: int, end: int, step: int, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        span_of(start, end, step, shortest_s=60)
    assert caught.value.field == field


def parts(call: Call, start: InstanceStart | None = None, **more: Any) -> list[tuple[str, int, int]]:
    return [(part.name, part.start_ms, part.duration_ms) for part in waterfall(rate(call, **more), start)]


def test_a_warm_call_waits_connects_and_runs() -> None:
    assert parts(a_call()) == [("queue", 0, 3), ("connect", 3, 2), ("function", 5, 40)]


def test_a_cold_call_shows_the_start_with_its_instance_and_level() -> None:
    start = InstanceStart("i1", "t", "v", 1_004, 1_020, 2)
    event = rate(a_call(), ready_ms=1_020)
    found = waterfall(event, start)
    assert [(part.name, part.start_ms, part.duration_ms) for part in found][2:] == [
        ("cold start", 5, 15),
        ("function", 20, 25),
    ]
    assert (
        found[2].note
        == "instance i1, level 2 (from the imported version), activated at +4 ms, ready at +20 ms"
    )
    assert sum(part.duration_ms for part in found) == 45


def test_a_refused_call_has_no_parts_and_a_call_that_never_left_the_queue_has_one() -> None:
    assert parts(a_call(refusal="key_scope", status=403, target="", connect_ms=-1)) == []
    waited = a_call(refusal="queue_full", status=503, queue_ms=30_000, connect_ms=-1, response_ms=-1)
    assert parts(waited) == [("queue", 0, 30_000)]
