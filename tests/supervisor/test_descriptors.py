"""The descriptor store speaks the protocol of docs/contracts.md."""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from control_plane.supervisor.descriptors import DescriptorStore


class Client:
    """A role's side of the store."""

    def __init__(self, store: DescriptorStore) -> None:
        self.store = store
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def ask(self, message: bytes, descriptor: int | None = None) -> tuple[dict[str, Any], list[int]]:
        rights = (
            []
            if descriptor is None
            else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        )
        self.ours.sendmsg([message], rights)
        assert self.store.serve(self.theirs)
        answer, ancillary, _, _ = self.ours.recvmsg(1 << 16, socket.CMSG_SPACE(16))
        found = array.array("i")
        for _, _, data in ancillary:
            found.frombytes(data)
        return json.loads(answer), list(found)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def client() -> Iterator[Client]:
    store = DescriptorStore()
    client = Client(store)
    yield client
    client.close()
    store.close()


def test_a_put_descriptor_comes_back_as_the_same_open_file(client: Client) -> None:
    reading, writing = os.pipe()
    assert client.ask(b'{"op":"put","name":"log:1","meta":{"a":1}}', writing) == ({"ok": True}, [])
    os.close(writing)
    answer, (copy,) = client.ask(b'{"op":"get","name":"log:1"}')
    assert answer == {"ok": True, "meta": {"a": 1}}
    os.write(copy, b"x")
    assert os.read(reading, 1) == b"x"
    os.close(copy)
    # The store still holds its own copy, so the pipe is not at its end.
    os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    assert client.ask(b'{"op":"drop","name":"log:1"}') == ({"ok": True}, [])
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_putting_again_replaces_and_listing_names_all(client: Client) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for meta in (b"1", b"2"):
        client.ask(b'{"op":"put","name":"a","meta":' + meta + b"}", null)
    client.ask(b'{"op":"put","name":"b"}', null)
    assert client.ask(b'{"op":"list"}')[0]["names"] == [["a", 2], ["b", None]]
    os.close(null)


@pytest.mark.parametrize(
    "message",
    [b"", b"{}", b"[]", b"\xff", b'{"op":"put","name":"x"}', b'{"op":"get","name":"x"}', b'{"op":"fly"}'],
)
def test_what_is_no_request_is_refused_and_the_store_lives_on(client: Client, message: bytes) -> None:
    if not message:
        client.ours.shutdown(socket.SHUT_WR)
        assert not client.store.serve(client.theirs)
        return
    assert client.ask(message)[0]["ok"] is False
    assert client.ask(b'{"op":"list"}')[0] == {"ok": True, "names": []}


def test_exits_are_told_once(client: Client) -> None:
    client.store.note_exit(41, 9)
    assert client.ask(b'{"op":"exits"}')[0]["exits"] == [[41, 9]]
    assert client.ask(b'{"op":"exits"}')[0]["exits"] == []
