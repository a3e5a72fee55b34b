"""Each request of the API is a span: below its caller's, by the route's pattern, without anything private."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from control_plane.adapters.external.span_tally import SpanTally, tallies
from control_plane.api.tracing import install_tracing
from control_plane.domain.traces import Span, release_spans
from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Kept:
    """An exporter that keeps what it is offered."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.sent, self.dropped = 7, 3

    def offer(self, spans: Sequence[Span]) -> None:
        self.spans += spans


def traced(api: ApiWorld, percent: float = 100) -> Kept:
    kept = Kept()
    install_tracing(api.app, kept, percent)
    return kept


def test_a_request_goes_on_with_its_callers_trace(api: ApiWorld, people: ApiPeople) -> None:
    kept = traced(api)
    owner = api.person(people.owner)
    answer = owner.get(
        "/functions/nothing?token=canary-4711", headers={"traceparent": f"00-{TRACE}-{CALLER}-01"}
    )
    [span] = kept.spans
    assert (span.context.trace, span.context.parent, span.serves) == (TRACE, CALLER, True)
    assert span.service == "control-plane"
    assert span.name.startswith("GET /api/v1/functions/<")
    assert span.attributes["http.response.status_code"] == answer.status_code == 404
    assert span.attributes["ingot.request_id"] == answer.headers["X-Request-Id"]
    assert 0 < span.start_ns <= span.end_ns
    assert not span.failed
    assert "nothing" not in str(span)
    assert "canary-4711" not in str(span)


def test_without_a_trace_one_begins_and_each_request_is_its_own(api: ApiWorld, people: ApiPeople) -> None:
    kept = traced(api)
    owner = api.person(people.owner)
    owner.get("/functions")
    owner.get("/functions", headers={"traceparent": "garbage"})
    first, second = (one.context for one in kept.spans)
    assert first.parent == second.parent == ""
    assert first.trace != second.trace
    assert len(first.trace) == 32


@pytest.mark.parametrize(
    ("percent", "flag", "count"), [(100, "00", 0), (0, "01", 1), (0, None, 0), (100, None, 1)]
)
def test_the_callers_flag_decides_and_else_the_share(
    api: ApiWorld, people: ApiPeople, percent: float, flag: str | None, count: int
) -> None:
    kept = traced(api, percent)
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-{flag}"} if flag else {}
    api.person(people.owner).get("/functions", headers=headers)
    assert len(kept.spans) == count


def test_refused_requests_are_spans_and_probes_are_none(api: ApiWorld) -> None:
    kept = traced(api)
    nobody = api.nobody()
    assert nobody.get("/functions").status_code == 401
    nobody.get("//livez")
    assert [one.attributes["http.response.status_code"] for one in kept.spans] == [401]


def test_a_release_goes_on_with_the_trace_of_the_request_that_asked_for_it(
    api: ApiWorld, people: ApiPeople
) -> None:
    kept = traced(api)
    version = api.world.frozen(people.author)
    api.world.approved(people.author, people.reviewer, version)
    asked = {"traceparent": f"00-{TRACE}-{CALLER}-01", "Idempotency-Key": "k"}
    operator = api.person(people.operator)
    for _ in range(2):
        answer = operator.post("/functions/orders/releases", {"version": 1}, headers=asked)
    assert answer.headers["Idempotency-Replayed"] == "true"
    request, repeat = kept.spans
    step = api.world.reconciler.step()
    done = step if step.timed else api.world.reconciler.step()
    release, *phases = release_spans(done.timed[0])
    assert (release.context.trace, release.context.parent) == (TRACE, request.context.span)
    assert release.context.parent != repeat.context.span
    assert [one.name for one in phases] == ["hand to host", "activation", "switch"]


def test_freezing_is_a_span_below_its_request(
    api: ApiWorld, people: ApiPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.world.drafted(people.author)
    author = api.person(people.author)
    etag = author.get("/functions/orders/draft").headers["ETag"]
    kept = traced(api)
    version = author.post("/functions/orders/versions", headers={"If-Match": etag}).json
    freeze, request = kept.spans
    assert (freeze.name, freeze.context.parent, freeze.failed) == ("freeze", request.context.span, False)
    assert freeze.attributes["ingot.version"] == version["id"]
    assert request.start_ns <= freeze.start_ns <= freeze.end_ns <= request.end_ns
    kept.spans.clear()
    assert author.post("/functions/orders/versions", headers={"If-Match": '"d0"'}).status_code == 412
    assert (kept.spans[0].name, kept.spans[0].failed) == ("freeze", False)
    with monkeypatch.context() as broken:
        broken.setattr(api.world.builder, "build", lambda *_: 1 / 0)
        etag = author.get("/functions/orders/draft").headers["ETag"]
        kept.spans.clear()
        assert author.post("/functions/orders/versions", headers={"If-Match": etag}).status_code == 500
    assert (kept.spans[0].name, kept.spans[0].failed) == ("freeze", True)
    kept.spans.clear()
    unsampled = {"If-Match": etag, "traceparent": f"00-{TRACE}-{CALLER}-00"}
    assert author.post("/functions/orders/versions", headers=unsampled).status_code == 201
    assert kept.spans == []


def test_the_metrics_show_what_other_roles_sent_and_lost(
    api: ApiWorld, people: ApiPeople, tmp_path: Path
) -> None:
    SpanTally(tmp_path, "meter").write(90, 4)
    SpanTally(tmp_path, "worker")
    (tmp_path / "spans-odd.json").write_text("{")
    install_tracing(api.app, Kept(), 100, lambda: tallies(tmp_path))
    shown = api.person(people.owner).get("//metrics").text
    for line in (
        'ingot_role_trace_spans_total{result="sent",role="meter"} 90.0',
        'ingot_role_trace_spans_total{result="dropped",role="meter"} 4.0',
        'ingot_role_trace_spans_total{result="dropped",role="worker"} 0.0',
    ):
        assert line in shown
    assert "odd" not in shown


def test_what_was_sent_and_lost_is_a_metric(api: ApiWorld) -> None:
    traced(api)
    text = api.app.extensions["ingot"].metrics
    from prometheus_client import generate_latest

    exposed = generate_latest(text.registry).decode()
    assert 'ingot_trace_spans_total{result="sent"} 7.0' in exposed
    assert 'ingot_trace_spans_total{result="dropped"} 3.0' in exposed
