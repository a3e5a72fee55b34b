"""The parser of access log lines: exact records in, everything else refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.adapters.gateway.access_log import AccessRecord, EndRecord, MalformedLine, parse_line

ACCESS = {
    "v": "1",
    "id": "1700000000000-u",
    "t": "1700000000000",
    "rid": "r",
    "org": "acme",
    "prj": "p",
    "fn": "f",
    "ver": "v1",
    "key": "k",
    "tgt": "t0",
    "st": "200",
    "ts": "----",
    "why": "",
    "tw": "0",
    "tc": "0",
    "tr": "3",
    "ta": "+4",
    "m": "POST",
    "path": "/acme/f",
    "in": "7",
    "out": "2",
    "mode": "sync",
    "mem": "256",
}
END = {
    "v": "1",
    "end": "1700000000000-u",
    "t": "1700000000000",
    "ta": "9",
    "tw": "1",
    "in": "10",
    "out": "20",
    "ts": "----",
    "st": "200",
}


def encoded(record: dict[str, str]) -> bytes:
    return json.dumps(record).encode()


def test_an_access_line_becomes_a_record() -> None:
    record = parse_line(encoded(ACCESS) + b"\n")
    assert isinstance(record, AccessRecord)
    assert (record.id, record.active_ms, record.bytes_out, record.status) == ("1700000000000-u", 4, 2, 200)


def test_an_end_line_becomes_a_record() -> None:
    record = parse_line(encoded(END))
    assert isinstance(record, EndRecord)
    assert (record.id, record.active_ms, record.queue_ms, record.bytes_out) == ("1700000000000-u", 9, 1, 20)


def test_an_answer_without_a_length_has_none() -> None:
    record = parse_line(encoded(ACCESS | {"out": ""}))
    assert isinstance(record, AccessRecord)
    assert record.bytes_out is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        encoded(ACCESS)[:-5],
        encoded(ACCESS | {"more": "x"}),
        encoded(ACCESS | {"v": "2"}),
        encoded(ACCESS | {"id": ""}),
        encoded(ACCESS | {"t": ""}),
        encoded(ACCESS | {"tr": "1.5"}),
        encoded(ACCESS | {"tr": "++1"}),
        encoded(ACCESS | {"tr": "٣"}),
        encoded(END | {"end": ""}),
        encoded({key: value for key, value in ACCESS.items() if key != "why"}),
        json.dumps({**ACCESS, "st": 200}).encode(),
        encoded(ACCESS | {"path": "x" * 70_000}),
        b"[" * 60_000,
        b"\xff" + encoded(ACCESS),
    ],
)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(MalformedLine):
        parse_line(line)


@given(st.binary(max_size=300))
def test_bytes_never_raise_anything_but_malformed(line: bytes) -> None:
    try:
        parse_line(line)
    except MalformedLine:
        return
    pytest.fail("random bytes were read as a record")
