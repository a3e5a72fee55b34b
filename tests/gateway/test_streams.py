"""Streams and other users: pieces arrive at once, chunks go up, a dropped uid still reaches functions."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest

from control_plane.adapters.gateway.access_log import AccessRecord, EndRecord
from tests.gateway.harness import SECRET, Request, World, a_world, read_reply, until
from tests.support.rights import becomes_other_users

HEAD = f"Host: x\r\nX-Api-Key: {SECRET}\r\n"


def test_each_piece_of_a_stream_arrives_at_once_and_the_end_is_recorded(world: World) -> None:
    seen = threading.Event()

    def events(_: Request, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for number in range(5):
            connection.sendall(f"data: {number}\n\n".encode())
            assert seen.wait(5)
            seen.clear()

    world.toy("t1", events)
    world.gateway.apply(world.state(world.target("t1", streaming=True)))
    waits: list[float] = []
    with world.connect() as connection:
        connection.sendall(f"GET /acme/orders HTTP/1.1\r\n{HEAD}\r\n".encode())
        received = b""
        for number in range(5):
            started = time.monotonic()
            while f"data: {number}".encode() not in received:
                received += connection.recv(4096)
            waits.append(time.monotonic() - started)
            seen.set()
        while connection.recv(4096):
            pass
    assert max(waits) < 0.15
    until(lambda: len(world.records()) == 2)
    access = next(record for record in world.records() if isinstance(record, AccessRecord))
    end = next(record for record in world.records() if isinstance(record, EndRecord))
    assert access.id == end.id
    assert (access.mode, access.bytes_out, end.status) == ("stream", None, 200)
    assert end.active_ms >= 0
    assert end.bytes_out > 60


def test_a_chunked_upload_reaches_a_streaming_version(world: World) -> None:
    received: list[bytes] = []

    def take(request: Request, connection: socket.socket) -> None:
        data = request.body
        while not data.endswith(b"0\r\n\r\n"):
            data += connection.recv(65_536)
        received.append(data)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    world.toy("t1", take)
    world.gateway.apply(world.state(world.target("t1", streaming=True)))
    with world.connect() as connection:
        connection.sendall(f"POST /acme/orders HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(20):
            connection.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert read_reply(connection).status == 200
    assert received[0].count(b"x") == 200_000


def test_a_stream_that_fails_says_why_through_both_frontends(world: World) -> None:
    world.toy("t1", lambda request, connection: None)
    world.gateway.apply(world.state(world.target("t1", streaming=True), world.target("t2", streaming=True)))
    reply = world.call()
    assert (reply.status, reply.code) == (502, "function_failed")
    assert reply.header("x-ingot-why") is None
    record = world.record_of(reply)
    assert (record.why, record.mode) == ("function_failed", "stream")


@pytest.mark.root
@becomes_other_users
def test_a_gateway_of_another_user_serves() -> None:
    nobody = 65_534
    # The folders of `tmp_path` are closed to other users.
    with (
        tempfile.TemporaryDirectory(prefix="ig") as folder,
        a_world(Path(folder), control_gid=nobody) as world,
    ):
        Path(folder).chmod(0o711)
        world.settings.data_folder.chmod(0o711)
        os.chown(world.settings.run_folder, nobody, nobody)
        world.toy("t1")
        Path(world.toys["t1"].path).chmod(0o666)
        world.start(user=nobody)
        world.gateway.apply(world.state(world.target("t1", streaming=True)))
        status = Path(f"/proc/{world.gateway._admin.process()}/status").read_text()
        assert f"Uid:\t{nobody}\t{nobody}" in status
        assert Path(world.settings.admin_socket).stat().st_mode & 0o777 == 0o660
        assert Path(world.settings.master_socket).stat().st_gid == nobody
        assert world.call().status == 200
        world.gateway._reload()
        assert world.call().status == 200
        assert world.gateway.apply(world.state(world.target("t1", streaming=True), keys=())).commands == 1
