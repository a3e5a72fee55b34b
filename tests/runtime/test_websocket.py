"""WebSocket: frames against RFC 6455, and sessions of a real instance."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingot_shim.websocket_frames import Frames, Message, ProtocolError, close_frame, frame

from .harness import Instance, parse, read_all, request, until

MASK = b"\x01\x82\xf3\x04"


def client_frame(opcode: int, payload: bytes = b"", *, final: bool = True, mask: bool = True) -> bytes:
    head = bytes([(0x80 if final else 0) | opcode])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65_536:
        head += bytes([bit | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", len(payload))
    if mask:
        payload = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
        head += MASK
    return head + payload


def test_the_examples_of_the_rfc() -> None:
    assert Frames(100).feed(bytes.fromhex("818537fa213d7f9f4d5158")) == [Message("text", "Hello")]
    assert frame(1, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert frame(2, b"x" * 256)[:4] == bytes.fromhex("827e0100")
    assert frame(2, b"x" * 65_536)[:10] == bytes.fromhex("827f0000000000010000")


def test_fragments_with_a_ping_between() -> None:
    data = client_frame(1, "ü".encode()[:1], final=False) + client_frame(9, b"p")
    data += client_frame(0, "ü".encode()[1:], final=False) + client_frame(0, b"!")
    assert Frames(100).feed(data) == [Message("ping", b"p"), Message("text", "ü!")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client_frame(1, b"x", mask=False), 1002),
        (bytes([0xC1, 0x80]) + MASK, 1002),
        (client_frame(3), 1002),
        (client_frame(11), 1002),
        (client_frame(9, b"x" * 126), 1002),
        (client_frame(9, b"x", final=False), 1002),
        (client_frame(0, b"x"), 1002),
        (client_frame(1, b"x", final=False) + client_frame(1, b"x"), 1002),
        (client_frame(2, b"x" * 101), 1009),
        (client_frame(2, b"x" * 60, final=False) + client_frame(0, b"x" * 41), 1009),
        (bytes([0x82, 0xFF]) + b"\xff" * 8, 1002),
        (bytes([0x82, 0xFF]) + struct.pack(">Q", 1 << 40), 1009),
        (bytes([0x82, 0xFE]) + struct.pack(">H", 5) + MASK, 1002),
        (client_frame(1, b"\xff"), 1007),
        (client_frame(1, b"\xc3"), 1007),
        (client_frame(1, b"\xed\xa0\x80"), 1007),
        (client_frame(1, b"\xff", final=False), 1007),
        (client_frame(8, b"x"), 1002),
        (client_frame(8, struct.pack(">H", 1005)), 1002),
        (client_frame(8, struct.pack(">H", 999)), 1002),
        (client_frame(8, struct.pack(">H", 5000)), 1002),
        (client_frame(8, struct.pack(">H", 1000) + b"\xff"), 1007),
    ],
)
def test_broken_frames(data: bytes, code: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        Frames(100).feed(data)
    assert caught.value.code == code


def test_closing_frames() -> None:
    assert Frames(9).feed(client_frame(8)) == [Message("close", "", 1005)]
    assert Frames(9).feed(client_frame(8, struct.pack(">H", 3000) + b"ok")) == [Message("close", "ok", 3000)]
    frames = Frames(9)
    assert len(frames.feed(client_frame(8) + client_frame(1, b"x"))) == 1
    assert frames.feed(client_frame(1, b"x")) == []
    assert (
        close_frame(1000, "ü" * 100) == bytes([0x88, 2 + 122]) + struct.pack(">H", 1000) + "ü".encode() * 61
    )
    assert close_frame(1005) == b"\x88\x00"


@given(
    st.lists(st.tuples(st.sampled_from(["text", "binary", "ping"]), st.binary(max_size=300)), max_size=6),
    st.data(),
)
def test_any_cut_and_fragmentation_gives_the_same_messages(
    messages: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    wire = b""
    expected = []
    for kind, content in messages:
        payload = content.hex().encode() if kind == "text" else content[:125]
        if kind == "ping":
            expected.append(Message(kind, payload))
            wire += client_frame(9, payload)
            continue
        expected.append(Message(kind, payload.decode() if kind == "text" else payload))
        cut = data.draw(st.integers(0, len(payload)))
        opcode = 1 if kind == "text" else 2
        wire += client_frame(opcode, payload[:cut], final=False) + client_frame(0, payload[cut:])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    frames = Frames(10_000)
    got = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        got += frames.feed(wire[start:end])
    assert got == expected


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_hostile_bytes_end_in_messages_or_a_protocol_error(pieces: list[bytes]) -> None:
    frames = Frames(1000)
    code = None
    for piece in pieces:
        try:
            messages = frames.feed(piece)
        except ProtocolError as error:
            code = error.code
            break
        assert all(len(message.data) <= 1000 for message in messages)
    assert code in (None, 1002, 1007, 1009)


SOURCE = """
import asyncio
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"http"})
        return
    assert (await receive())["type"] == "websocket.connect"
    name = scope["path"][1:]
    if name == "refuse":
        await send({"type": "websocket.close"})
        return
    if name == "raise":
        raise RuntimeError("the secret 4711")
    if name == "inject":
        await send({"type": "websocket.accept", "headers": [(b"x", b"a\\r\\nb: c")]})
    if name == "silent":
        return
    offered = scope["subprotocols"]
    chosen = offered[0] if name == "choose" else "other" if name == "choose-wrong" else None
    await send({"type": "websocket.accept", "subprotocol": chosen, "headers": [(b"x-a", b"1")]})
    if name == "raise-later":
        raise RuntimeError("later")
    if name == "close":
        await send({"type": "websocket.close", "code": 4001, "reason": "enough"})
        return
    if name == "end":
        return
    if name == "ticker":
        try:
            while True:
                await send({"type": "websocket.send", "bytes": b"t" * 1000})
                await asyncio.sleep(0.001)
        except OSError:
            print("reader gone")
        return
    headers = [k.decode() + "=" + v.decode() for k, v in scope["headers"]]
    shown = [text for text in headers if text.startswith("sec-websocket-protocol")]
    await send({"type": "websocket.send", "text": ",".join(offered + shown)})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            print("disconnect", message["code"], message["reason"])
            return
        if message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
"""
HANDSHAKE = {
    "upgrade": "websocket",
    "connection": "keep-alive, Upgrade",
    "sec_websocket_version": "13",
    "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def instance_of(folder: Path, **spec: Any) -> Instance:
    return Instance(folder, SOURCE, kind="asgi", handler="main:app", streaming=True, **spec)


def handshake(path: str, method: str = "GET", **changes: str) -> bytes:
    return request(method, path, b"", **{**HANDSHAKE, **changes})


class Client:
    """A WebSocket client that reads single frames."""

    def __init__(self, instance: Instance, path: str = "/echo", **headers: str) -> None:
        self.socket = instance.connect()
        self.buffer = b""
        self.socket.sendall(handshake(path, **headers))
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        self.head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")

    def more(self) -> None:
        data = self.socket.recv(65_536)
        assert data, "the connection ended early"
        self.buffer += data

    def send(self, opcode: int, payload: bytes = b"", **options: bool) -> None:
        self.socket.sendall(client_frame(opcode, payload, **options))

    def read(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        while len(self.buffer) < 2:
            self.more()
        first, length = self.buffer[0], self.buffer[1]
        while len(self.buffer) < {126: 4, 127: 10}.get(length, 2):
            self.more()
        assert first & 0x80
        start = 2
        if length == 126:
            length, start = int.from_bytes(self.buffer[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(self.buffer[2:10], "big"), 10
        while len(self.buffer) < start + length:
            self.more()
        payload = self.buffer[start : start + length]
        self.buffer = self.buffer[start + length :]
        return first & 0x0F, payload

    def at_end(self) -> bool:
        return not self.buffer and read_all(self.socket) == b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


Clients = Callable[..., Client]


@pytest.fixture
def clients() -> Iterator[Clients]:
    """Makes clients and closes them at the end."""
    with ExitStack() as stack:
        yield lambda *args, **headers: stack.enter_context(Client(*args, **headers))


def close_payload(code: int, reason: str = "") -> bytes:
    return struct.pack(">H", code) + reason.encode()


def test_a_session(tmp_path: Path, clients: Clients) -> None:
    with instance_of(tmp_path) as instance:
        client = clients(instance)
        assert client.head.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in client.head
        assert b"x-a: 1" in client.head
        assert b"Content-Length" not in client.head
        assert b"Connection: close" not in client.head
        assert client.read() == (1, b"")
        client.send(1, "grüße".encode())
        assert client.read() == (1, "grüße".encode())
        client.send(2, b"\x00" * 70_000)
        assert client.read() == (2, b"\x00" * 70_000)
        client.send(9, b"are you there")
        assert client.read() == (10, b"are you there")
        client.send(10, b"unasked")
        client.send(1, b"a", final=False)
        client.send(0, b"b")
        assert client.read() == (1, b"ab")
        client.send(8, close_payload(1001, "bye"))
        assert client.read() == (8, close_payload(1001))
        assert client.at_end()
        until(lambda: "disconnect 1001 bye" in [item["m"] for item in instance.log()], "the disconnect")
        assert instance.call(request("GET", "/")).body == b"http"


def test_frames_that_came_with_the_handshake(tmp_path: Path) -> None:
    with instance_of(tmp_path) as instance, instance.connect() as connection:
        connection.sendall(handshake("/echo") + client_frame(1, b"early"))
        read = b""
        while not read.endswith(frame(1, b"early")):
            read += connection.recv(1000)
        connection.sendall(client_frame(8))
        assert read_all(connection) == b"\x88\x00"


def test_subprotocols_and_keys(tmp_path: Path, clients: Clients) -> None:
    with instance_of(tmp_path, limits={"concurrency": 4}) as instance:
        client = clients(instance, "/choose", sec_websocket_protocol="chat, ingot.key.SECRET")
        assert b"Sec-WebSocket-Protocol: chat" in client.head
        seen = client.read()[1]
        assert seen == b"chat,sec-websocket-protocol=chat"
        browser = clients(instance, "/echo", sec_websocket_protocol="ingot, ingot.key.SECRET")
        assert b"Sec-WebSocket-Protocol: ingot\r\n" in browser.head + b"\r\n"
        with_key_only = clients(instance, "/echo", sec_websocket_protocol="ingot.key.SECRET")
        assert b"Protocol" not in with_key_only.head.replace(b"Switching Protocols", b"")
        wrong = clients(instance, "/choose-wrong", sec_websocket_protocol="chat")
        assert wrong.head.startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"sec_websocket_version": "8"}, 426),
        ({"sec_websocket_key": "short"}, 400),
        ({"sec_websocket_key": "!!!"}, 400),
        ({"connection": "close"}, 400),
    ],
)
def test_malformed_handshakes(tmp_path: Path, change: dict[str, str], status: int) -> None:
    with instance_of(tmp_path) as instance:
        answer = instance.call(handshake("/echo", **change))
        assert (answer.status, answer.json["code"], answer.json["fault"]) == (
            status,
            "upgrade_refused",
            "caller",
        )
        assert status != 426 or answer.headers["sec-websocket-version"] == "13"
        assert instance.call(handshake("/echo", "POST")).status == 400


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("refuse", 403, "upgrade_refused"),
        ("silent", 403, "upgrade_refused"),
        ("raise", 500, "handler_failed"),
        ("inject", 500, "handler_failed"),
    ],
)
def test_sessions_that_are_not_accepted(tmp_path: Path, name: str, status: int, code: str) -> None:
    with instance_of(tmp_path) as instance:
        answer = parse(instance.raw(handshake(f"/{name}")))
        assert (answer.status, answer.json["code"]) == (status, code)
        assert b"4711" not in answer.raw
        assert b"\r\nb: c" not in answer.raw


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("close", close_payload(4001, "enough")),
        ("end", close_payload(1000)),
        ("raise-later", close_payload(1011)),
    ],
)
def test_the_application_ends_it(
    tmp_path: Path, name: str, payload: bytes, clients: Callable[..., Client]
) -> None:
    with instance_of(tmp_path) as instance:
        client = clients(instance, f"/{name}")
        assert client.read() == (8, payload)
        client.send(8, payload[:2])
        assert client.at_end()
        assert instance.call(request("GET", "/")).body == b"http"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client_frame(1, b"x", mask=False), 1002),
        (client_frame(1, b"\xff"), 1007),
        (bytes([0x82, 0xFF]) + struct.pack(">Q", 1 << 40), 1009),
    ],
)
def test_a_peer_that_breaks_the_protocol_is_told(
    tmp_path: Path, data: bytes, code: int, clients: Callable[..., Client]
) -> None:
    with instance_of(tmp_path) as instance:
        client = clients(instance)
        client.read()
        client.socket.sendall(data)
        opcode, payload = client.read()
        assert (opcode, payload[:2]) == (8, struct.pack(">H", code))
        until(lambda: f"disconnect {code}" in str(instance.log()), "the disconnect")


@pytest.mark.parametrize("path", ["/echo", "/ticker"])
def test_a_peer_that_vanishes(tmp_path: Path, path: str, clients: Clients) -> None:
    with instance_of(tmp_path) as instance:
        client = clients(instance, path)
        client.read()
        client.socket.close()
        word = "reader gone" if path == "/ticker" else "disconnect 1006"
        until(lambda: word in str(instance.log()), "the disconnect")
        assert instance.call(request("GET", "/")).body == b"http"


def test_a_drain_sends_open_sessions_away(tmp_path: Path, clients: Clients) -> None:
    with instance_of(tmp_path) as instance:
        client = clients(instance)
        client.read()
        instance.status.send(b"q")
        assert client.read() == (8, close_payload(1001))
        assert instance.wait() == 0
        assert "disconnect 1001 the instance leaves" in [item["m"] for item in instance.log()]
