"""As much HTTP/2 as a gRPC call without TLS needs: frames, a server and a client on plain sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, WINDOW_UPDATE, PING = 0, 1, 4, 8, 6
END_STREAM, END_HEADERS, ACK = 1, 4, 1
STATUS_200 = b"\x88"
METHOD_POST, SCHEME_HTTP = b"\x83", b"\x86"
PATH_INDEX, AUTHORITY_INDEX = 4, 1


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def named(index: int, value: bytes) -> bytes:
    """Return a header with a name of the static table, not indexed."""
    return bytes([index, len(value)]) + value


def literal(name: bytes, value: bytes) -> bytes:
    """Return a header in plain bytes, not indexed."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError(f"the other side ended after {data!r}")
        data += piece
    return data


def frames(connection: socket.socket) -> Iterator[Frame]:
    while True:
        head = _exactly(connection, 9)
        length = int.from_bytes(head[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        yield Frame(kind, flags, stream & 0x7FFFFFFF, _exactly(connection, length))


def serve_grpc(connection: socket.socket) -> None:
    """Answer each call with its own message and trailers, as gRPC does."""
    if _exactly(connection, len(PREFACE)) != PREFACE:
        connection.sendall(b"HTTP/1.1 505 No\r\nContent-Length: 0\r\n\r\n")
        return
    connection.sendall(frame(SETTINGS, 0, 0))
    bodies: dict[int, bytes] = {}
    for received in frames(connection):
        if received.kind == SETTINGS and not received.flags & ACK:
            connection.sendall(frame(SETTINGS, ACK, 0))
        elif received.kind == PING and not received.flags & ACK:
            connection.sendall(frame(PING, ACK, 0, received.payload))
        elif received.kind == DATA:
            bodies[received.stream] = bodies.get(received.stream, b"") + received.payload
        if received.kind in {DATA, HEADERS} and received.flags & END_STREAM:
            answer = STATUS_200 + literal(b"content-type", b"application/grpc")
            connection.sendall(
                frame(HEADERS, END_HEADERS, received.stream, answer)
                + frame(DATA, 0, received.stream, bodies.pop(received.stream, b""))
                + frame(HEADERS, END_HEADERS | END_STREAM, received.stream, literal(b"grpc-status", b"0"))
            )


@dataclass(frozen=True)
class Answer:
    headers: bytes
    body: bytes
    trailers: bytes


def call_grpc(connection: socket.socket, host: str, message: bytes) -> Answer:
    """Make one call with HTTP/2 from the first byte on."""
    block = METHOD_POST + SCHEME_HTTP + named(PATH_INDEX, b"/ping.Ping/Say")
    block += named(AUTHORITY_INDEX, host.encode())
    block += literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers")
    connection.sendall(
        PREFACE
        + frame(SETTINGS, 0, 0)
        + frame(HEADERS, END_HEADERS, 1, block)
        + frame(DATA, END_STREAM, 1, message)
    )
    blocks: list[bytes] = []
    body = b""
    for received in frames(connection):
        if received.kind == SETTINGS and not received.flags & ACK:
            connection.sendall(frame(SETTINGS, ACK, 0))
        elif received.kind == HEADERS:
            blocks.append(received.payload)
        elif received.kind == DATA:
            body += received.payload
        if received.stream == 1 and received.kind in {DATA, HEADERS} and received.flags & END_STREAM:
            break
    return Answer(blocks[0], body, blocks[-1] if len(blocks) > 1 else b"")
