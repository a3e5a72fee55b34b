"""Spans reach a collector as they were; one that is gone, slow or broken costs spans and nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.adapters.external.otlp import OtlpSpans
from control_plane.adapters.external.span_tally import SpanTally, tallies
from control_plane.domain.traces import Span, TraceContext
from tests.support.collector import Collector, collector
from tests.support.system import wait_for

TRACE = "0af7651916cd43dd8448eb211c80319c"


def span(number: int = 1, parent: str = "") -> Span:
    context = TraceContext(TRACE, f"{number:016x}", parent, sampled=True)
    return Span("gateway", f"POST {number}", context, 1_000, 2_000, {"faas.coldstart": True}, serves=True)


class Exporting:
    """An exporter with what it reported."""

    def __init__(self, endpoint: str, queue: int = 100) -> None:
        self.said: list[tuple[str, int]] = []
        self.spans = OtlpSpans(
            endpoint, lambda message, dropped: self.said.append((message, dropped)), queue=queue
        )


@pytest.fixture
def there() -> Iterator[Collector]:
    with collector() as made:
        yield made


def test_a_span_arrives_as_it_was(there: Collector) -> None:
    made = Exporting(there.url)
    made.spans.offer([span(1), span(2, parent=f"{1:016x}")])
    wait_for(lambda: len(there.spans) == 2)
    first, second = there.spans
    assert (first.service, first.name, first.trace, first.span) == (
        "ingot-gateway",
        "POST 1",
        TRACE,
        f"{1:016x}",
    )
    assert (first.parent, second.parent) == ("", first.span)
    assert (first.start_ns, first.end_ns, first.kind, first.failed) == (1_000, 2_000, 2, False)
    assert first.attributes == {"faas.coldstart": True}
    wait_for(lambda: made.spans.sent == 2)
    made.spans.close()
    assert (made.spans.dropped, made.said) == (0, [])


def test_each_batch_is_tallied(there: Collector, tmp_path: Path) -> None:
    tally = SpanTally(tmp_path, "meter")
    spans = OtlpSpans(there.url, lambda *_: None, tally=tally.write)
    assert dict(tallies(tmp_path)) == {"meter": {"sent": 0, "dropped": 0}}
    spans.offer([span(1), span(2)])
    wait_for(lambda: dict(tallies(tmp_path))["meter"] == {"sent": 2, "dropped": 0})
    there.status = 400
    spans.offer([span(3)])
    wait_for(lambda: dict(tallies(tmp_path))["meter"] == {"sent": 2, "dropped": 1})
    spans.close()


def test_the_end_sends_what_waits(there: Collector) -> None:
    made = Exporting(f"{there.url}/v1/traces")
    made.spans.offer([span()])
    made.spans.close(20)
    assert len(there.spans) == 1


def test_beyond_the_bound_spans_are_dropped_and_counted_at_once(there: Collector) -> None:
    there.held.clear()
    made = Exporting(there.url, queue=10)
    began = time.monotonic()
    for _ in range(100):
        made.spans.offer([span()] * 10)
    assert time.monotonic() - began < 1
    # At most one full queue is on its way and another one waits.
    assert made.spans.dropped >= 980
    there.held.set()


def test_a_collector_that_fails_is_told_of_once_and_its_return_too(there: Collector) -> None:
    there.status = 400
    made = Exporting(there.url)
    made.spans.offer([span()])
    wait_for(lambda: made.spans.dropped == 1)
    wait_for(lambda: made.said)
    there.status = 200
    made.spans.offer([span(2)])
    wait_for(lambda: len(made.said) == 2)
    made.spans.close()
    assert [one.name for one in there.spans] == ["POST 2"]
    assert made.said[0] == (f"spans cannot be sent to {there.url}/v1/traces; they are dropped", 1)
    assert made.said[1] == ("spans are sent again", 1)


def test_nobody_there_costs_the_spans_and_no_time() -> None:
    made = Exporting("http://127.0.0.1:9")
    made.spans.offer([span()])
    wait_for(lambda: made.spans.dropped == 1)
    began = time.monotonic()
    made.spans.offer([span()])
    made.spans.close(0.5)
    assert time.monotonic() - began < 3


def test_without_spans_the_library_is_not_even_loaded() -> None:
    code = (
        "import sys, control_plane.bootstrap.meter, control_plane.bootstrap.worker, control_plane.wsgi\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'google.protobuf'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
