"""One trace from the control plane through the gateway into an instance, on a whole system.

A collector that is gone, slow or broken harms neither calls nor their counting.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.collector import Collector, Received, collector
from tests.support.system import System, running_system, wait_for

pytestmark = pytest.mark.slow

_MAIN = """
def execute(input, context):
    return {"traceparent": context.trace}
"""
_STREAM = """
def execute(input, context):
    for number in range(3):
        yield {"number": number}
"""


class Traced:
    """A system whose spans go to a collector, with a function, a stream and a key."""

    def __init__(self, system: System, there: Collector) -> None:
        self.system, self.there = system, there
        system.publish("till", {"ingot.toml": "", "main.py": _MAIN})
        system.publish("feed", {"ingot.toml": "streaming = true\n", "main.py": _STREAM})
        self.key = system.key()
        system.wait_callable("till", self.key)
        system.wait_callable("feed", self.key)

    def call(self, function: str = "till", **headers: str) -> httpx.Response:
        sent = {"X-Api-Key": self.key, **headers}
        answer = httpx.post(self.system.url(function), json={}, headers=sent, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer

    def spans(self, trace: str, *names: str) -> dict[str, Received]:
        """Return a trace's spans when all of these have arrived."""
        wait_for(lambda: self.there.of(trace).keys() >= set(names), 30, 0.05)
        return self.there.of(trace)

    def counted(self, usage: str) -> dict[str, Any]:
        """Return a call's usage line, once it is counted."""

        def told() -> Any:
            answer = self.system.people["owner"].http.get(f"/api/v1/why/{usage}")
            return answer.json() if answer.status_code == 200 else None

        found: dict[str, Any] = wait_for(told, 20, 0.1)["calls"][0]["call"]
        return found


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    with (
        collector() as there,
        running_system(INGOT_TRACES_ENDPOINT=there.url, INGOT_HOST_IDLE_TIMEOUT_S="1") as system,
    ):
        yield Traced(system, there)


def test_one_trace_holds_the_api_the_gateway_and_the_instance(traced: Traced) -> None:
    trace, caller = secrets.token_hex(16), secrets.token_hex(8)
    header = {"traceparent": f"00-{trace}-{caller}-01"}
    traced.system.people["owner"].call("GET", "/functions/till", headers=header)
    answer = traced.call(**header)
    gateway = next(
        one
        for one in traced.spans(trace, "ingot-instance function").values()
        if one.service == "ingot-gateway" and one.kind == 2
    )
    spans = traced.spans(trace, "ingot-instance function")
    assert gateway.parent == caller
    assert gateway.attributes["ingot.usage_id"] == answer.headers["X-Ingot-Usage-Id"]
    assert gateway.attributes["ingot.outcome"] == "answered"
    # The function continues exactly this span.
    assert answer.json()["traceparent"] == f"00-{trace}-{gateway.span}-01"
    instance = spans["ingot-instance function"]
    assert instance.parent == gateway.span
    assert gateway.start_ns <= instance.start_ns <= instance.end_ns <= gateway.end_ns
    wait_for(lambda: [one for one in traced.there.of(trace).values() if one.service == "ingot-control-plane"])
    [api] = [one for one in traced.there.of(trace).values() if one.service == "ingot-control-plane"]
    assert (api.parent, api.attributes["http.response.status_code"]) == (caller, 200)
    assert traced.counted(answer.headers["X-Ingot-Usage-Id"])["trace_id"] == trace


def test_a_cold_call_tells_its_start_and_instance(traced: Traced) -> None:
    def cold() -> dict[str, Received] | None:
        trace = traced.call().json()["traceparent"].split("-")[1]
        spans = traced.spans(trace, "ingot-instance function")
        return spans if "ingot-instance cold start" in spans else None

    # Between two calls the instance's idle time passes.
    spans = wait_for(cold, 60, 1.5)
    started, worked = spans["ingot-instance cold start"], spans["ingot-instance function"]
    gateway = next(one for one in spans.values() if one.kind == 2)
    assert gateway.attributes["faas.coldstart"]
    assert started.parent == worked.parent == gateway.span
    assert started.attributes["faas.instance"] == worked.attributes["faas.instance"] != ""
    assert started.end_ns <= worked.start_ns


def test_a_stream_is_a_span_until_its_end(traced: Traced) -> None:
    trace, caller = secrets.token_hex(16), secrets.token_hex(8)
    traced.call("feed", traceparent=f"00-{trace}-{caller}-01")
    spans = traced.spans(trace, "ingot-instance function")
    assert {one.parent for one in spans.values() if one.kind == 2} == {caller}


def test_what_its_caller_does_not_sample_stays_here(traced: Traced) -> None:
    left_out, sampled = secrets.token_hex(16), secrets.token_hex(16)
    answer = traced.call(traceparent=f"00-{left_out}-{'1' * 16}-00")
    assert answer.json()["traceparent"].endswith("-00")
    # A later call's spans are there, so this one's would be too.
    traced.call(traceparent=f"00-{sampled}-{'1' * 16}-01")
    traced.spans(sampled, "ingot-instance function")
    assert not traced.there.of(left_out)
    assert traced.counted(answer.headers["X-Ingot-Usage-Id"])["trace_id"] == left_out


def test_a_trace_that_begins_at_the_gateway_is_marked_for_the_function(traced: Traced) -> None:
    _, trace, span, flags = traced.call().json()["traceparent"].split("-")
    assert flags == "01"
    spans = traced.spans(trace, "ingot-instance function")
    assert [one.span for one in spans.values() if one.kind == 2 and not one.parent] == [span]


def test_a_release_is_a_span_since_it_was_asked_for(traced: Traced) -> None:
    def found() -> list[Received]:
        return [one for one in list(traced.there.spans) if one.name == "release"]

    wait_for(found, 30)
    release = found()[0]
    assert release.service == "ingot-control-plane"
    assert release.end_ns > release.start_ns
    assert not release.failed
    names = ("ingot-control-plane hand to host", "ingot-instance activation", "ingot-gateway switch")
    spans = traced.spans(release.trace, *names)
    assert {spans[name].parent for name in names} == {release.span}
    asked = next(one for one in spans.values() if one.span == release.parent)
    assert asked.name == "POST /api/v1/functions/<function>/releases"
    assert asked.start_ns <= release.start_ns + 1_000_000
    wait_for(lambda: [one for one in list(traced.there.spans) if one.name == "freeze"], 30)


def test_the_metrics_tell_what_each_role_sent(traced: Traced) -> None:
    owner = traced.system.people["owner"].http

    def sent(role: str) -> float:
        line = f'ingot_role_trace_spans_total{{result="sent",role="{role}"}} '
        return sum(float(one[len(line) :]) for one in owner.get("/metrics").text.splitlines() if line in one)

    traced.call()
    wait_for(lambda: sent("meter") > 0 and sent("worker") > 0, 30)


@pytest.mark.parametrize("trouble", ["broken", "slow"])
def test_a_collector_in_trouble_harms_no_call_and_no_count(traced: Traced, trouble: str) -> None:
    there = traced.there
    there.status = 500 if trouble == "broken" else 200
    if trouble == "slow":
        there.held.clear()
    try:
        before = there.requests
        answers = [traced.call() for _ in range(20)]
        wait_for(lambda: there.requests > before, 30)
        for answer in answers:
            assert traced.counted(answer.headers["X-Ingot-Usage-Id"])["outcome"] == "answered"
        assert traced.system.people["owner"].call("GET", "/functions/till")["name"] == "till"
        assert all(role["ready"] for role in traced.system.roles().values())
    finally:
        there.status = 200
        there.held.set()


def test_with_nobody_there_everything_else_works() -> None:
    with running_system(INGOT_TRACES_ENDPOINT="http://127.0.0.1:9") as system, collector() as there:
        made = Traced(system, there)
        answer = made.call()
        assert made.counted(answer.headers["X-Ingot-Usage-Id"])["outcome"] == "answered"
        log = (system.data / "logs" / "meter.log").read_text
        wait_for(lambda: "spans cannot be sent" in log(), 30)
        assert log().count("spans cannot be sent") == 1
