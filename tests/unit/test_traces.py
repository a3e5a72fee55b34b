"""Records of gateway and host become spans with the right ids, parents and times."""

from __future__ import annotations

import pytest

from control_plane.domain.ids import made_ms, make_id
from control_plane.domain.metering import Call, InstanceStart, StreamState, rate
from control_plane.domain.releases import Release, Throttle
from control_plane.domain.traces import (
    ReleasePhase,
    TimedRelease,
    TraceContext,
    call_spans,
    parse_traceparent,
    recorded_context,
    release_spans,
)

TRACE, GATEWAY, CALLER = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7", "b7ad6b7169203331"
CONTEXT = TraceContext(TRACE, GATEWAY, CALLER, sampled=True)


def call(**changes: object) -> Call:
    values: dict[str, object] = {
        "id": "usage-1",
        "request_id": "",
        "organization": "org_1",
        "project": "prj_1",
        "function": "fn_1",
        "version": "ver_1",
        "api_key": "key_1",
        "target": "t1",
        "accepted_ms": 1_000,
        "method": "POST",
        "status": 200,
        "termination": "--",
        "refusal": "",
        "queue_ms": 5,
        "connect_ms": 2,
        "response_ms": 30,
        "active_ms": 37,
        "bytes_in": 1,
        "bytes_out": 2,
        "streaming": False,
        "memory_mb": 256,
    }
    return Call(**(values | changes))  # type: ignore[arg-type]


def test_a_cold_call_is_five_spans_below_the_gateways() -> None:
    start = InstanceStart("i1", "t1", "ver_1", 1_006, 1_020, 1)
    top, *below = call_spans(rate(call(), ready_ms=1_020), CONTEXT, start)
    assert (top.service, top.name, top.context, top.serves) == ("gateway", "POST fn_1", CONTEXT, True)
    assert (top.start_ns, top.end_ns, top.failed) == (1_000_000_000, 1_037_000_000, False)
    assert top.attributes["faas.coldstart"] is True
    assert (top.attributes["ingot.version"], top.attributes["ingot.request_id"]) == ("ver_1", "usage-1")
    found = {one.name: (one.service, one.start_ns // 1_000_000, one.end_ns // 1_000_000) for one in below}
    assert found == {
        "queue": ("gateway", 1_000, 1_005),
        "connect": ("gateway", 1_005, 1_007),
        "cold start": ("instance", 1_006, 1_020),
        "function": ("instance", 1_020, 1_037),
    }
    assert {(one.context.trace, one.context.parent) for one in below} == {(TRACE, GATEWAY)}
    assert len({one.context.span for one in below} | {GATEWAY, CALLER}) == 6
    assert [one.attributes.get("faas.instance") for one in below] == [None, None, "i1", "i1"]


def test_a_warm_call_names_no_instance_and_has_no_start() -> None:
    spans = call_spans(rate(call(queue_ms=0, connect_ms=0)), CONTEXT, None)
    assert [one.name for one in spans] == ["POST fn_1", "function"]
    assert spans[1].attributes == {"ingot.target": "t1", "faas.coldstart": False}


def test_a_call_that_waited_in_vain_never_reached_an_instance() -> None:
    waited = call(
        queue_ms=300, connect_ms=-1, response_ms=-1, active_ms=300, status=503, refusal="queue_full"
    )
    top, *below = call_spans(rate(waited), CONTEXT, None)
    assert [one.name for one in below] == ["queue"]
    assert top.failed
    assert top.attributes["ingot.refusal"] == "queue_full"
    assert top.end_ns == 1_300_000_000


def test_a_stream_lasts_until_its_end() -> None:
    top, *_, function = call_spans(
        rate(call(streaming=True, active_ms=900), StreamState.ENDED), CONTEXT, None
    )
    assert function.end_ns == 1_907_000_000
    assert top.end_ns >= function.end_ns


@pytest.mark.parametrize(("outcome", "failed"), [({"status": 404}, False), ({"status": 500}, True)])
def test_a_span_fails_when_the_work_did_and_not_when_its_caller_erred(
    outcome: dict[str, object], failed: bool
) -> None:
    assert call_spans(rate(call(**outcome)), CONTEXT, None)[0].failed is failed


def test_the_same_record_gives_the_same_ids() -> None:
    first, second = (call_spans(rate(call()), CONTEXT, None) for _ in range(2))
    assert [one.context for one in first] == [one.context for one in second]


@pytest.mark.parametrize(
    ("text", "context"),
    [
        (f"{TRACE}-{GATEWAY}-01-{CALLER}", CONTEXT),
        (f"{TRACE}-{GATEWAY}-00-", TraceContext(TRACE, GATEWAY, "", sampled=False)),
        (TRACE, None),
        ("", None),
        (f"{TRACE}-{GATEWAY}-01-{CALLER}0", None),
    ],
)
def test_the_context_of_a_record(text: str, context: TraceContext | None) -> None:
    assert recorded_context(text) == context


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"00-{TRACE}-{CALLER}-01", (TRACE, CALLER, True)),
        (f"00-{TRACE}-{CALLER}-02", (TRACE, CALLER, False)),
        (f"00-{'0' * 32}-{CALLER}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{CALLER}-01", None),
        (f"01-{TRACE}-{CALLER}-01", None),
        ("", None),
    ],
)
def test_a_traceparent_is_taken_only_when_it_is_one(header: str, found: tuple[str, str, bool] | None) -> None:
    assert parse_traceparent(header) == found


def test_an_id_tells_when_it_was_made() -> None:
    assert made_ms(make_id("release", 1_760_000_000_123, 2**80 - 1)) == 1_760_000_000_123
    with pytest.raises(ValueError, match="is no id"):
        made_ms("rel_1")


def test_a_cold_call_that_is_over_before_its_start_was_noted_is_told_in_order() -> None:
    start = InstanceStart("i1", "t1", "ver_1", 1_006, 1_039, 1)
    found = {one.name: one for one in call_spans(rate(call(), ready_ms=1_039), CONTEXT, start)}
    assert found["cold start"].end_ns == found["function"].start_ns == found["function"].end_ns
    assert found["function"].end_ns // 1_000_000 == 1_037


def a_timed_release(trace: str, *, live: bool = True) -> TimedRelease:
    release = Release(
        "rel_1", "org_1", "prj_1", "fn_1", 1, "d", (), Throttle(), "usr_1", created_ms=1_000, trace=trace
    )
    phases = (
        ReleasePhase("hand to host", 1_010, 1_020),
        ReleasePhase("activation", 1_020, 1_200, "t1"),
        ReleasePhase("activation", 1_200, 1_250, "t2"),
        ReleasePhase("switch", 1_250, 1_260),
    )
    return TimedRelease(release, live, 1_300, phases)


def test_a_release_and_its_phases_stand_below_the_request_that_asked_for_it() -> None:
    top, *below = release_spans(a_timed_release(CONTEXT.header))
    assert (top.name, top.context.trace, top.context.parent) == ("release", TRACE, GATEWAY)
    assert (top.start_ns, top.end_ns, top.failed) == (1_000_000_000, 1_300_000_000, False)
    assert [(one.service, one.name, one.attributes.get("ingot.target")) for one in below] == [
        ("control-plane", "hand to host", None),
        ("instance", "activation", "t1"),
        ("instance", "activation", "t2"),
        ("gateway", "switch", None),
    ]
    assert {(one.context.trace, one.context.parent) for one in below} == {(TRACE, top.context.span)}
    assert len({one.context.span for one in (top, *below)}) == 5
    assert release_spans(a_timed_release(CONTEXT.header, live=False))[0].failed


def test_a_release_that_no_traced_request_asked_for_is_a_trace_of_its_own() -> None:
    top, *below = release_spans(a_timed_release(""))
    assert (len(top.context.trace), top.context.parent, len(below)) == (32, "", 4)
    assert release_spans(a_timed_release(""))[0].context == top.context, "sent twice it is one span"
    unsampled = TraceContext(TRACE, GATEWAY, CALLER, sampled=False)
    assert release_spans(a_timed_release(unsampled.header)) == []
