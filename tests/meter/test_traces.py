"""What the meter counted becomes spans: cold starts found across batches, streams when they end."""

from __future__ import annotations

import pytest

from control_plane.domain.metering import Call, rate
from control_plane.domain.traces import Span
from control_plane.meter.assembly import add_access_chunk, add_host_chunk
from control_plane.meter.follower import Chunk
from control_plane.meter.records import access_record
from control_plane.meter.traces import CallTraces
from control_plane.store.usage_intake import Intake
from control_plane.store.usage_rows import EVENT_COLUMNS, row_of_event
from tests.meter.lines import BEGAN_MS, access_line, end_line, start_line

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
SAMPLED = f"{TRACE}-{SPAN}-01-"


class Traced:
    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._traces = CallTraces(self.spans.extend)

    def see(self, *lines: bytes, host: bytes = b"") -> list[str]:
        """Give one batch to the meter's tracing; return the names of the spans that it made."""
        before = len(self.spans)
        intake = Intake(seen_ms=BEGAN_MS)
        add_access_chunk(intake, Chunk(0, b"".join(lines)))
        if host:
            add_host_chunk(intake, Chunk(0, host))
        self._traces.observe(intake)
        return [one.name for one in self.spans[before:]]


@pytest.fixture
def traced() -> Traced:
    return Traced()


def test_only_calls_that_are_marked_become_spans(traced: Traced) -> None:
    assert traced.see(access_line(1), access_line(2, trc=f"{TRACE}-{SPAN}-00-")) == []
    name = "POST fn_01k00000000000000000000003"
    assert traced.see(access_line(3, trc=SAMPLED)) == [name, "function"]
    assert traced.spans[0].context.span == SPAN


def test_a_start_that_was_read_earlier_still_explains_the_wait(traced: Traced) -> None:
    target = f"t{1:016x}"
    started = start_line("i1", target=target, activated_ms=BEGAN_MS + 1, ready_ms=BEGAN_MS + 9)
    assert traced.see(host=started) == []
    names = traced.see(access_line(1, trc=SAMPLED))
    assert names[1:] == ["cold start", "function"]
    assert traced.see(access_line(2, trc=SAMPLED))[1:] == ["function"], "another target"


def test_a_stream_becomes_spans_with_its_end_once(traced: Traced) -> None:
    assert traced.see(access_line(4, mode="stream", trc=SAMPLED)) == []
    assert traced.see(end_line(4), end_line(5))[1:] == ["function"]
    assert traced.spans[0].end_ns == (BEGAN_MS + 4 + 900) * 1_000_000
    assert traced.see(end_line(4)) == []


def test_only_the_traces_id_is_stored() -> None:
    call = access_record(access_line(1, trc=f"{SAMPLED}b7ad6b7169203331"))
    assert isinstance(call, Call)
    assert call.trace == f"{SAMPLED}b7ad6b7169203331"
    assert dict(zip(EVENT_COLUMNS, row_of_event(rate(call)), strict=True))["trace"] == TRACE
