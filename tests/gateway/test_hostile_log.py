"""Whatever callers send, every line of the access log is a valid record."""

from __future__ import annotations

import contextlib
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.adapters.gateway.access_log import AccessRecord, parse_line
from tests.gateway.harness import SECRET, World, policy, until

PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b'"', b"\\", b"\\u0000", b'","why":"', b"%0a", b"\x00", b"\x7f", b"\xc3\x28", b"\xed\xa0\x80",
            b"\r", "é😀".encode(), b"%22%5c", b"{}", b"|", b"%[date]", b"%{+Q}", b"' if", b"A" * 9_000,
        ]
    ),
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return something between a request and rubbish."""
    method = draw(st.sampled_from([b"GET", b"POST", b'G"ET', b"\x00", b"OPTIONS", b"A" * 300]))
    path = b"/acme/orders/" + b"".join(draw(st.lists(PIECES, max_size=4)))
    names = st.sampled_from(
        [
            b"X-Request-Id",
            b"X-Api-Key",
            b"Origin",
            b"traceparent",
            b"Content-Length",
            b"Host",
            b"Upgrade",
            b"X",
        ]
    )
    lines = draw(st.lists(st.tuples(names, PIECES), max_size=4))
    head = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
    key = b"X-Api-Key: " + SECRET.encode() + b"\r\n" if draw(st.booleans()) else b""
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"", b"HTTP/1.1 \x01"]))
    return (
        method + b" " + path + b" " + version + b"\r\nHost: x\r\nConnection: close\r\n" + key + head + b"\r\n"
    )


@pytest.fixture(scope="module")
def logged(shared: World) -> World:
    shared.toy("t1")
    shared.gateway.apply(shared.state(shared.target("t1"), policies=(policy(public=True),)))
    return shared


def exchange(world: World, raw: bytes, leave: bool = True) -> bytes:
    """Send and read to the end; `leave` half-closes, which counts as hanging up."""
    answer = b""
    with contextlib.suppress(OSError), world.connect(5) as connection:
        connection.sendall(raw)
        if leave:
            connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65_536):
            answer += piece
    return answer


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests())
def test_each_line_is_a_record_and_each_answered_call_has_one(logged: World, raw: bytes) -> None:
    before = logged.log.stat().st_size
    answer = exchange(logged, raw)

    def added() -> list[bytes]:
        with logged.log.open("rb") as log:
            log.seek(before)
            return log.read().splitlines(keepends=True)

    if answer:
        until(lambda: bool(added()), 5)
    for line in added():
        assert line.endswith(b"\n")
        parse_line(line)
    served = [record for record in map(parse_line, added()) if isinstance(record, AccessRecord)]
    assert len([record for record in served if record.status == 200]) <= answer.count(b"HTTP/1.1 200")


@pytest.mark.parametrize("length", [20_000, 27_000, 40_000, 65_000])
@pytest.mark.parametrize("filler", ["a", '"', "\\"])
def test_a_long_address_is_one_valid_line(logged: World, length: int, filler: str) -> None:
    before = len(logged.records())
    path = "/acme/orders/" + filler * length
    exchange(logged, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode(), leave=False)
    until(lambda: len(logged.records()) == before + 1, 5)
    record = logged.records()[-1]
    assert isinstance(record, AccessRecord)
    assert record.path == path[:8_000] if record.status == 200 else record.why == "bad_request"
