"""The host's pure rules: back-off, memory budget, log lines, the wanted state, test requests."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.adapters.embedded.host.backoff import Backoff
from control_plane.adapters.embedded.host.budget import Holding, Want, decide, next_in_line
from control_plane.adapters.embedded.host.log_files import LogFiles, render
from control_plane.adapters.embedded.host.log_lines import LINE_BYTES, LineSplitter, LogRecord, parse_line
from control_plane.adapters.embedded.host.refusals import refusal
from control_plane.adapters.embedded.host.trial import request_bytes
from control_plane.adapters.embedded.host.wanted import parse_state
from control_plane.domain.desired import HostTarget
from control_plane.errors import Invalid

DAY_MS = 86_400_000


def test_the_first_crash_is_free_and_the_next_ones_wait_ever_longer() -> None:
    backoff = Backoff(lambda: 0.5)
    delays = [backoff.failed(100.0) for _ in range(12)]
    assert delays[:4] == [0.0, 0.5, 1.0, 2.0]
    assert delays[-1] == 60.0
    assert backoff.waits(100.0) == 60.0
    assert backoff.waits(170.0) == 0.0
    backoff.succeeded()
    assert backoff.failed(200.0) == 0.0


def test_a_certain_failure_waits_from_the_first_time() -> None:
    assert Backoff(lambda: 0.5).failed(0.0, certain=True) == 0.5


@given(st.floats(0, 0.999), st.integers(1, 2000))
def test_a_delay_is_never_outside_its_bounds(random: float, failures: int) -> None:
    backoff = Backoff(lambda: random, failures=failures)
    assert 0.375 <= backoff.failed(0.0) <= 75.0


def test_memory_is_given_while_there_is_some() -> None:
    assert decide(100, [Holding("i1", "a", 50, None)], Want("t", "a", 50, 0.0)).admit


def test_idle_instances_of_the_largest_holder_go_first() -> None:
    holdings = [
        Holding("small", "b", 20, idle_since=1.0),
        Holding("busy", "a", 40, None),
        Holding("older", "a", 20, idle_since=2.0),
        Holding("newer", "a", 20, idle_since=3.0),
    ]
    verdict = decide(100, holdings, Want("t", "c", 30, 9.0))
    assert not verdict.admit
    assert verdict.evict == ("older", "newer")


def test_nothing_is_evicted_in_vain_nor_twice() -> None:
    busy = [Holding("busy", "a", 90, None), Holding("idle", "a", 10, 1.0)]
    assert decide(100, busy, Want("t", "b", 50, 0.0)).evict == ()
    leaving = [Holding("leaving", "a", 60, 1.0, leaving=True), Holding("idle", "a", 40, 2.0)]
    assert decide(100, leaving, Want("t", "b", 50, 0.0)).evict == ()


def test_a_share_is_kept_for_those_who_wait() -> None:
    holdings = [Holding("i1", "a", 50, None)]
    assert decide(100, holdings, Want("t", "a", 10, 0.0)).admit
    assert not decide(100, holdings, Want("t", "a", 10, 0.0), others=["b"]).admit
    assert decide(100, holdings, Want("t", "b", 50, 0.0), others=["b"]).admit


def test_who_holds_least_is_served_first() -> None:
    wants = [Want("t1", "a", 10, 1.0), Want("t2", "b", 10, 3.0), Want("t3", "b", 10, 2.0)]
    line = next_in_line([Holding("i", "a", 10, None)], wants)
    assert [want.target for want in line] == ["t3", "t2", "t1"]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 60), st.none() | st.floats(0, 9)), max_size=8),
    st.integers(1, 100),
)
def test_admission_never_goes_over_the_budget(
    found: list[tuple[str, int, float | None]], wanted: int
) -> None:
    holdings = [Holding(f"i{n}", org, memory, idle) for n, (org, memory, idle) in enumerate(found)]
    used = sum(holding.memory_mb for holding in holdings)
    verdict = decide(100, holdings, Want("t", "a", wanted, 0.0))
    assert not verdict.admit or used + wanted <= 100
    evicted = sum(holding.memory_mb for holding in holdings if holding.instance in verdict.evict)
    assert not verdict.evict or used - evicted + wanted <= 100
    assert all(holding.idle_since is not None for holding in holdings if holding.instance in verdict.evict)


@given(st.binary(max_size=300), st.integers(1, 20))
def test_lines_do_not_depend_on_how_they_arrive(content: bytes, size: int) -> None:
    whole = LineSplitter()
    expected = whole.feed(content) + whole.flush()
    pieces = LineSplitter()
    found: list[bytes] = []
    for start in range(0, len(content), size):
        found += pieces.feed(content[start : start + size])
    assert found + pieces.flush() == expected
    assert b"\n".join(expected) == content.removesuffix(b"\n")


def test_an_endless_line_is_cut_and_its_rest_dropped() -> None:
    splitter = LineSplitter()
    lines = splitter.feed(b"x" * (LINE_BYTES + 500))
    assert [len(line) for line in lines] == [LINE_BYTES + 1]
    assert parse_line(lines[0]).message.endswith("…[cut]")
    assert splitter.feed(b"y" * 10_000) == []
    assert splitter.feed(b"yy\nnext\n") == [b"next"]


def test_frames_and_raw_output_become_records() -> None:
    framed = parse_line(b'{"r":"req","l":"error","m":"bad","f":{"n":1}}')
    assert framed == LogRecord("bad", "error", "req", {"n": 1})
    assert parse_line(b'{"r":"","l":"loud","m":"x"}').level == "info"
    assert parse_line(b'{"not":"ours"}').message == '{"not":"ours"}'
    assert parse_line(b"raw \xff\r").message == "raw �"


@given(st.binary(max_size=200))
def test_any_line_becomes_one_line_of_json(content: bytes) -> None:
    line = render(parse_line(content), 0, "i1", "v1")
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert json.loads(line)["instance"] == "i1"


def test_a_day_that_is_full_says_so_once_and_the_next_day_goes_on(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, day_bytes=1000, total_bytes=1 << 20)
    line = render(LogRecord("x" * 100), 0, "i", "v")
    for _ in range(20):
        files.append("fn", 0, [line])
    lines = (tmp_path / "fn" / "1970-01-01.jsonl").read_bytes().splitlines()
    assert len(lines) < 10
    assert [b"is full" in found for found in lines].count(True) == 1
    assert b"is full" in lines[-1]
    files.append("fn", DAY_MS, [line])
    assert (tmp_path / "fn" / "1970-01-02.jsonl").read_bytes() == line


def test_what_the_host_says_is_kept_in_a_full_log_up_to_a_reserve(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, day_bytes=16_000, total_bytes=1 << 20)
    for _ in range(200):
        files.append("fn", 0, [b"x" * 100])
    own = b"killed: overdue" + b"." * 84 + b"\n"
    for _ in range(50):
        files.append_own("fn", 0, own)
    assert next(tmp_path.glob("fn/*")).read_bytes().count(own) == 10
    files.append_own("fn", DAY_MS, own)
    assert len(list(tmp_path.glob("fn/*"))) == 2


def test_the_oldest_days_go_first_when_all_is_full(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, day_bytes=1000, total_bytes=1600)
    line = render(LogRecord("x" * 300), 0, "i", "v")
    for day in range(4):
        files.append("fn", day * DAY_MS, [line, line])
    kept = sorted(path.name for path in (tmp_path / "fn").iterdir())
    assert "1970-01-01.jsonl" not in kept
    assert "1970-01-04.jsonl" in kept


def a_target(**values: Any) -> dict[str, Any]:
    digest = "sha256:" + "a" * 64
    return (
        asdict(
            HostTarget(
                "t0123456789abcdef", "org", "prj", "fn", "orders", "ver", 1, digest, "python3.11", "handler",
                "main:execute", {"function": digest},
            )
        )
        | values
    )  # fmt: skip


def test_a_well_formed_state_is_read() -> None:
    state = parse_state(json.dumps({"format": 1, "epoch": 7, "targets": [a_target()]}))
    assert state.epoch == 7
    assert state.targets[0].limits.memory_mb == 256


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"id": "t../../etc"}, "/targets/0/id"),
        ({"function": "../up"}, "/targets/0/function"),
        ({"function": ".hidden"}, "/targets/0/function"),
        ({"number": "1"}, "/targets/0/number"),
        ({"streaming": 1}, "/targets/0/streaming"),
        ({"kind": "shell"}, "/targets/0/kind"),
        ({"handler": "os; system:x"}, "/targets/0/handler"),
        ({"layers": {}}, "/targets/0/layers"),
        ({"layers": {"function": "sha256:../x"}}, "/targets/0/layers/function"),
        ({"limits": {"memory_mb": 0}}, "/targets/0/limits/memory_mb"),
        ({"limits": {"instances": True}}, "/targets/0/limits/instances"),
        ({"limits": {"cpu": 1}}, "/targets/0/limits/cpu"),
        ({"settings": {"A": 1}}, "/targets/0/settings/A"),
        ({"secrets": []}, "/targets/0/secrets"),
        ({"colour": "red"}, "/targets/0/colour"),
    ],
)
def test_a_malformed_target_is_refused_with_its_place(change: dict[str, Any], where: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_state(json.dumps({"format": 1, "epoch": 1, "targets": [a_target(**change)]}))
    assert refused.value.field == where


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format":1,"epoch":-1,"targets":[]}', '{"format":1,"epoch":1}']
)
def test_a_malformed_document_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_state(text)


def test_a_target_named_twice_or_in_part_is_refused() -> None:
    with pytest.raises(Invalid, match="twice"):
        parse_state(json.dumps({"format": 1, "epoch": 1, "targets": [a_target(), a_target()]}))
    partial = a_target()
    del partial["digest"]
    with pytest.raises(Invalid, match="missing"):
        parse_state(json.dumps({"format": 1, "epoch": 1, "targets": [partial]}))


_KEYS = st.sampled_from(["format", "epoch", "targets", "id", "limits"])
_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner),
)


@given(_DOCUMENTS)
def test_no_document_breaks_the_reader(document: Any) -> None:
    try:
        parse_state(json.dumps(document))
    except Invalid:
        return
    assert isinstance(document, dict)


def test_a_test_request_cannot_break_its_framing() -> None:
    content = request_bytes(
        {"method": "POST", "path": "/x", "headers": [["Content-Length", "99"], ["A", "b"]]}
    )
    assert content.startswith(b"POST /x HTTP/1.1\r\n")
    assert b"Content-Length: 0\r\n" in content
    assert content.count(b"Content-Length") == 1
    for wrong in (
        {"method": "GET /"},
        {"path": "x"},
        {"path": "/ HTTP/1.1\r\n"},
        {"headers": [["a", "b\nc"]]},
    ):
        with pytest.raises(ValueError, match=r"line break|letters"):
            request_bytes({"method": "GET", "path": "/"} | wrong)


def test_a_refusal_is_a_problem_with_the_right_fault() -> None:
    head, _, body = refusal("layer_missing", "gone", 0.2).partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert (problem["code"], problem["fault"], problem["status"]) == ("layer_missing", "platform", 503)
    assert b"Retry-After: 1\r\n" in head
    assert f"Content-Length: {len(body)}".encode() in head
