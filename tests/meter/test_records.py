"""Lines of the logs become records, or are refused with a reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.metering import Call, InstanceExit, InstanceStart, StreamEnd
from control_plane.meter.records import access_record, host_record
from tests.meter.lines import BEGAN_MS, access_line, end_line, exit_line, start_line


def test_an_access_line_becomes_a_call() -> None:
    call = access_record(access_line(3, ta="+91", out="", tr="+7", st="-1", rid="mine", tw="-1"))
    assert isinstance(call, Call)
    assert (call.accepted_ms, call.request_id, call.active_ms, call.bytes_out) == (
        BEGAN_MS + 3,
        "mine",
        91,
        0,
    )
    assert (call.response_ms, call.status, call.queue_ms, call.streaming) == (7, -1, -1, False)


def test_a_request_id_that_repeats_the_usage_id_is_not_stored_twice() -> None:
    call = access_record(access_line(3))
    assert isinstance(call, Call)
    assert call.request_id == ""


def test_a_broken_request_has_no_figures() -> None:
    names = ("rid", "org", "prj", "fn", "ver", "key", "tgt", "tw", "tc", "tr", "ta", "m", "path", "in", "out")
    empty = dict.fromkeys((*names, "mode", "mem"), "")
    call = access_record(access_line(1, st="400", ts="PR", why="bad_request", **empty))
    assert isinstance(call, Call)
    assert (call.connect_ms, call.response_ms, call.bytes_in, call.memory_mb) == (-1, -1, 0, 0)


def test_an_end_line_becomes_the_end_of_its_stream() -> None:
    end = access_record(end_line(3, tw="4"))
    call = access_record(access_line(3, mode="stream"))
    assert isinstance(end, StreamEnd)
    assert isinstance(call, Call)
    assert (end.id, end.active_ms, end.queue_ms, end.bytes_out) == (call.id, 900, 4, 9_000)
    assert call.streaming


def test_text_that_a_database_refuses_is_made_harmless() -> None:
    line = access_line(1, rid="a\0b\ud800c", m="GÉT")
    call = access_record(line)
    assert isinstance(call, Call)
    assert (call.request_id, call.method) == ("ab?c", "GÉT")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"[" * 60_000,
        access_line(1)[:-20],
        access_line(1, v="2"),
        access_line(1, id=""),
        access_line(1, ta="twelve"),
        access_line(1, ta="9" * 15),
        access_line(1, t="9" * 18),
        access_line(1, out="9" * 18),
        access_line(1, tr="-2"),
        access_line(1, mem="99999999"),
        access_line(1, mem="-1"),
        access_line(1, st="70000"),
        access_line(1, surplus="x"),
        end_line(1, ta="9" * 15),
        end_line(1, out="-1"),
    ],
)
def test_what_no_gateway_writes_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        access_record(line.rstrip(b"\n"))


def test_host_lines_become_starts_and_exits() -> None:
    start = host_record(start_line("i1"))
    end = host_record(exit_line("i1", reason="out_of_memory", served=7, peak_mb=40.7))
    assert isinstance(start, InstanceStart)
    assert isinstance(end, InstanceExit)
    assert (start.instance, start.ready_ms - start.activated_ms) == ("i1", 10)
    assert (end.reason, end.served, end.peak_mb) == ("out_of_memory", 7, 40)


def test_an_exit_that_nobody_saw_has_no_status() -> None:
    end = host_record(exit_line("i1", status=None, served=7))
    assert isinstance(end, InstanceExit)
    assert (end.status, end.served) == (-1, 7)


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 60_000,
        b"7",
        start_line("i1", v=2),
        start_line("i1", kind="birth"),
        start_line("x" * 201),
        start_line("i1", ready_ms="soon"),
        start_line("i1", ready_ms=2**60),
        start_line("i1", ready_ms=-5),
        start_line("i1", level=True),
        exit_line("i1", served=-1),
        exit_line("i1", status=2**40),
        exit_line("i1", status="9"),
        exit_line("i1").replace(b'"status": 0, ', b""),
        exit_line("i1", reason=None),
        b'{"v":1,"kind":"exit","served":NaN}',
    ],
)
def test_what_no_host_writes_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        host_record(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3),
)


@given(
    st.dictionaries(st.sampled_from(["v", "kind", "instance", "target", "ready_ms", "at_ms"]), json_values)
)
def test_hostile_host_lines_never_raise_anything_else(raw: dict[str, object]) -> None:
    try:
        host_record(json.dumps(raw | {"v": 1}).encode())
    except ValueError:
        return
    pytest.fail("an incomplete record was accepted")


@given(st.binary(max_size=200))
def test_bytes_never_raise_anything_else(data: bytes) -> None:
    for read in (access_record, host_record):
        with pytest.raises(ValueError, match=r"."):
            read(data)
