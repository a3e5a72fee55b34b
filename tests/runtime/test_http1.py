"""The request reader: what it takes, what it refuses, and that bytes never hurt it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingot_shim.http1 import HEAD_LIMIT, LINE_LIMIT, Request, RequestReader
from ingot_shim.problems import Problem


def read(data: bytes, limit: int = 1000) -> Request | None:
    return RequestReader(limit).feed(data)


def test_a_whole_request() -> None:
    request = read(b"POST /a%20b?x=1&y HTTP/1.1\r\nHost: h\r\nX-Y:  z \r\nContent-Length: 3\r\n\r\nabcd")
    assert request is not None
    assert (request.method, request.target, request.minor) == ("POST", "/a%20b?x=1&y", 1)
    assert (request.path, request.raw_path, request.query_string) == ("/a b", "/a%20b", "x=1&y")
    assert request.headers == [("host", "h"), ("x-y", "z"), ("content-length", "3")]
    assert request.body == b"abc"


def test_chunks_with_extensions_and_trailers() -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"
    request = read(head + b"3;a=b\r\nabc\r\n00A \r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n")
    assert request is not None
    assert request.body == b"abc0123456789"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/1.1\n\n\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET http://h/ HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT h:1 HTTP/1.1\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xc3\xbc HTTP/1.1\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA : 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: 1\nB: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 5000, 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;" + b"x" * 4000 + b"\r\na\r\n", None),
        (b"GET /" + b"a" * LINE_LIMIT + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /" + b"a" * LINE_LIMIT, 414),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * HEAD_LIMIT, 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * HEAD_LIMIT + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: 1\r\n" * 257 + b"\r\n", 431),
    ],
)
def test_refusals(data: bytes, status: int | None) -> None:
    if status is None:
        assert read(data) is None
        return
    with pytest.raises(Problem) as caught:
        read(data)
    assert caught.value.status == status
    assert caught.value.fault == "caller"


def test_endless_tiny_chunks_end() -> None:
    reader = RequestReader(100_000)
    reader.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")

    def feed_on() -> None:
        for _ in range(100_000):
            reader.feed(b"1;" + b"x" * 1000 + b"\r\na\r\n")

    with pytest.raises(Problem):
        feed_on()


def test_expect_is_answered_once_the_head_is_there() -> None:
    reader = RequestReader(10)
    assert reader.feed(b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n") is None
    assert reader.wants_continue
    assert reader.feed(b"ab") is not None


def test_bytes_after_a_request_without_body_are_kept() -> None:
    request = read(b"GET / HTTP/1.1\r\n\r\n\x81\x80")
    assert request is not None
    assert request.rest == b"\x81\x80"


def test_many_one_byte_chunks_are_refused() -> None:
    reader = RequestReader(1_000_000)
    reader.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(Problem):
        reader.feed(b"1\r\na\r\n" * 30_000)


BODIES = st.binary(max_size=300)
NAMES = st.text("abcXYZ-_0", min_size=1, max_size=10).map(lambda name: "X" + name)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)


@given(st.dictionaries(NAMES, VALUES, max_size=8), BODIES, st.booleans(), st.data())
def test_any_cut_gives_the_same_request(
    headers: dict[str, str], body: bytes, chunked: bool, data: st.DataObject
) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if chunked:
        size = data.draw(st.integers(1, 50))
        parts = [body[at : at + size] for at in range(0, len(body), size)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        head += "Transfer-Encoding: chunked\r\n"
    else:
        framed = body
        head += f"Content-Length: {len(body)}\r\n"
    whole = f"PUT /x HTTP/1.1\r\n{head}\r\n".encode() + framed
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    reader = RequestReader(1000)
    request = None
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        if request is None:
            request = reader.feed(whole[start:end])
    assert request is not None
    assert request.body == body
    for name, value in headers.items():
        assert (name.lower(), value) in request.headers


PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            *(b"GET / HTTP/1.1\r\n", b"\r\n", b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\n"),
            *(b"0\r\n\r\n", b"Content-Length: 5\r\n", b"POST /a HTTP/1.0\r\n", b"A: b\r\n", b"\x00"),
            b"Expect: 100-continue\r\n",
        ]
    ),
)


@given(st.lists(PIECES, max_size=25))
def test_hostile_bytes_end_in_a_request_a_refusal_or_nothing(pieces: list[bytes]) -> None:
    reader = RequestReader(100)
    status = None
    for piece in pieces:
        try:
            request = reader.feed(piece)
        except Problem as problem:
            status = problem.status
            break
        if request is not None:
            assert len(request.body) <= 100
            return
    assert status in (None, 400, 413, 414, 431)
