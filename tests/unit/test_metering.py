"""What a call counts as, from records alone."""

from __future__ import annotations

from itertools import permutations

import pytest

from control_plane.domain.metering import (
    FAULT_OF,
    Call,
    Fault,
    InstanceExit,
    InstanceStart,
    Outcome,
    StreamEnd,
    StreamState,
    complete,
    dispatch_window,
    explain,
    rate,
    waited_for,
)

AT = 1_760_000_000_000


def a_call(**changes: object) -> Call:
    answered = Call(
        id="u1",
        request_id="",
        organization="org",
        project="prj",
        function="fn",
        version="ver",
        api_key="key",
        target="t1",
        accepted_ms=AT,
        method="POST",
        status=200,
        termination="--",
        refusal="",
        queue_ms=5,
        connect_ms=1,
        response_ms=40,
        active_ms=46,
        bytes_in=10,
        bytes_out=20,
        streaming=False,
        memory_mb=256,
    )
    return answered._replace(**changes)  # type: ignore[arg-type]


def refused(code: str, status: int, **changes: object) -> Call:
    return a_call(
        refusal=code, status=status, connect_ms=-1, response_ms=-1, queue_ms=-1, active_ms=0, **changes
    )


def a_start(activated: int, ready: int, target: str = "t1") -> InstanceStart:
    return InstanceStart("i1", target, "ver", AT + activated, AT + ready, 2)


def an_exit(reason: str, at: int, instance: str = "i1", target: str = "t1") -> InstanceExit:
    return InstanceExit(instance, target, "ver", reason, 0, 10, 1, AT + at)


@pytest.mark.parametrize(
    ("call", "outcome", "fault", "billed"),
    [
        (a_call(), Outcome.ANSWERED, Fault.NOBODY, 40),
        (a_call(status=302), Outcome.ANSWERED, Fault.NOBODY, 40),
        (a_call(status=422), Outcome.REJECTED, Fault.CALLER, 40),
        (a_call(status=500), Outcome.FAILED, Fault.AUTHOR, 40),
        # An instance may claim any status: what it sends is its author's, also a 503.
        (a_call(status=503), Outcome.FAILED, Fault.AUTHOR, 40),
        (a_call(response_ms=0), Outcome.ANSWERED, Fault.NOBODY, 1),
        (refused("key_unknown", 401), Outcome.REFUSED, Fault.CALLER, 0),
        (refused("preflight", 204), Outcome.ANSWERED, Fault.NOBODY, 0),
        (refused("rate_limited", 429), Outcome.REFUSED, Fault.CALLER, 0),
        (refused("no_such_function", 404, target=""), Outcome.REFUSED, Fault.CALLER, 0),
        (refused("queue_full", 503), Outcome.SATURATED, Fault.AUTHOR, 0),
        (refused("metering_lapsed", 503), Outcome.UNAVAILABLE, Fault.PLATFORM, 0),
        (refused("function_unavailable", 503), Outcome.UNAVAILABLE, Fault.PLATFORM, 0),
        (
            a_call(refusal="function_failed", status=502, response_ms=-1),
            Outcome.UNAVAILABLE,
            Fault.PLATFORM,
            0,
        ),
        (a_call(status=-1, response_ms=-1, termination="CH"), Outcome.ABANDONED, Fault.CALLER, 40),
        # Hung up in the queue: no instance saw it.
        (
            a_call(status=-1, connect_ms=-1, response_ms=-1, termination="CQ"),
            Outcome.ABANDONED,
            Fault.CALLER,
            0,
        ),
        (a_call(status=-1, response_ms=-1, termination="SH"), Outcome.UNAVAILABLE, Fault.PLATFORM, 0),
    ],
)
def test_a_call_is_classified_and_billed(call: Call, outcome: Outcome, fault: Fault, billed: int) -> None:
    event = rate(call)
    assert (event.outcome, FAULT_OF[event.outcome], event.billed_ms) == (outcome, fault, billed)
    assert event.memory_mb_ms == billed * 256


def test_waiting_for_a_cold_start_is_not_billed() -> None:
    event = rate(a_call(response_ms=40))
    ready = waited_for(event, [a_start(7, 36)])
    assert ready == AT + 36
    cold = rate(event.call, ready_ms=ready)
    assert (cold.cold_ms, cold.billed_ms) == (30, 10)


@pytest.mark.parametrize(
    "start",
    [
        a_start(100, 130),
        a_start(-200, -100),
        # Ready only after the answer: another instance answered.
        a_start(7, 60),
        a_start(7, 36, target="t2"),
    ],
)
def test_a_start_at_another_time_or_place_was_not_waited_for(start: InstanceStart) -> None:
    starts = [start] if start.target == "t1" else []
    assert waited_for(rate(a_call()), starts) == 0


def test_the_first_instance_that_is_ready_takes_the_waiting_call() -> None:
    starts = sorted([a_start(6, 20), a_start(6, 30), a_start(-900, -800)], key=lambda start: start.ready_ms)
    assert waited_for(rate(a_call()), starts) == AT + 20


def test_the_window_of_dispatches_covers_every_call_that_waits() -> None:
    start = a_start(7, 36)
    first, last = dispatch_window(start)
    for offset in range(-100, 100):
        event = rate(a_call(accepted_ms=AT + offset, queue_ms=0, connect_ms=0, response_ms=500))
        assert bool(waited_for(event, [start])) == (first <= event.dispatched_ms <= last)


@pytest.mark.parametrize("reason", ["out_of_memory", "crashed", "overdue"])
@pytest.mark.parametrize(("code", "status"), [("function_failed", 502), ("function_timeout", 504)])
def test_an_exit_shows_that_a_broken_call_is_its_authors(reason: str, code: str, status: int) -> None:
    call = a_call(refusal=code, status=status, response_ms=-1, active_ms=106)
    found = explain(rate(call), [an_exit(reason, 120)])
    event = rate(call, exit_reason=found)
    assert (event.outcome, event.billed_ms) == (Outcome.FAILED, 100)


@pytest.mark.parametrize("reason", ["evicted", "retired", "life", "drained"])
def test_an_exit_that_the_platform_decided_leaves_the_fault_with_it(reason: str) -> None:
    call = a_call(refusal="function_failed", status=502, response_ms=-1)
    event = rate(call, exit_reason=explain(rate(call), [an_exit(reason, 46)]))
    assert (event.outcome, event.billed_ms) == (Outcome.UNAVAILABLE, 0)


def test_exits_elsewhere_explain_nothing() -> None:
    broken = rate(a_call(refusal="function_failed", status=502, response_ms=-1))
    others = [an_exit("crashed", -1), an_exit("crashed", 5_000), an_exit("crashed", 40, target="t2")]
    assert explain(broken, [*others, an_exit("idle", 40)]) == ""
    assert explain(rate(a_call()), [an_exit("crashed", 40)]) == ""


def test_the_nearest_exit_explains_in_any_order() -> None:
    broken = rate(a_call(refusal="function_failed", status=502, response_ms=-1))
    exits = [an_exit("crashed", 900, "a"), an_exit("evicted", 47, "b"), an_exit("overdue", 1500, "c")]
    assert {explain(broken, order) for order in permutations(exits)} == {"evicted"}


def a_stream(**changes: object) -> Call:
    return a_call(streaming=True, bytes_out=0, **changes)


def an_end(**changes: object) -> StreamEnd:
    end = StreamEnd("u1", AT, 910, 10, 15, 9_000, "--", 200)
    return end._replace(**changes)  # type: ignore[arg-type]


def test_an_open_stream_is_counted_and_not_yet_billed() -> None:
    event = rate(a_stream(), StreamState.OPEN)
    assert (event.outcome, event.billed_ms) == (Outcome.ANSWERED, 0)


def test_a_streams_end_says_how_long_and_how_much() -> None:
    event = rate(complete(a_stream(), an_end()), StreamState.ENDED)
    assert (event.billed_ms, event.call.bytes_in, event.call.bytes_out) == (900, 15, 9_000)
    # The queue of the inner frontend delays the dispatch.
    assert event.dispatched_ms == AT + 5 + 10 + 1


def test_a_lost_end_bills_what_is_known() -> None:
    assert rate(a_stream(), StreamState.LOST).billed_ms == 40


def test_a_stream_that_its_caller_closes_is_answered() -> None:
    event = rate(complete(a_stream(), an_end(termination="CD")), StreamState.ENDED)
    assert (event.outcome, event.billed_ms) == (Outcome.ANSWERED, 900)


def test_breaking_a_stream_off_does_not_make_it_free() -> None:
    call = complete(a_stream(), an_end(termination="SD"))
    event = rate(call, StreamState.ENDED)
    assert (event.outcome, event.billed_ms) == (Outcome.FAILED, 900)
    evicted = explain(event, [an_exit("evicted", 950)])
    assert rate(call, StreamState.ENDED, 0, evicted).outcome is Outcome.UNAVAILABLE
