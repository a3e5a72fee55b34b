"""`ingot file get --save` over a line that breaks, against a server that says what was asked of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from control_plane.cli.client import Client, Unreachable
from control_plane.cli.downloads import download
from control_plane.cli.failures import Failure
from control_plane.cli.profiles import Profile

_CONTENT = bytes(range(256)) * 60
_TAG = f'"{sha256(_CONTENT).hexdigest()}"'
_STORED = {"id": "file_1", "size": len(_CONTENT), "sha256": f"sha256:{_TAG[1:-1]}"}


class _Broken(ThreadingHTTPServer):
    """Breaks the line after so many bytes, as often as `breaks` says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.breaks = 0
        self.content = _CONTENT
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Broken

    def do_POST(self) -> None:
        self._answer(201, json.dumps({"url": "/api/v1/files/file_1/content?signature=1"}).encode())

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append(wanted)
        first = int(wanted.removeprefix("bytes=").removesuffix("-") or 0)
        if first:
            assert self.headers["If-Range"] == _TAG
        body = self.server.content[first:]
        if self.server.breaks:
            self.server.breaks -= 1
            self._answer(206 if first else 200, body, sent=3000)
            return
        self._answer(206 if first else 200, body)

    def _answer(self, status: int, body: bytes, sent: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[_Broken]:
    with _Broken() as broken:
        thread = threading.Thread(target=broken.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield broken
        broken.shutdown()
        thread.join(10)


def client(server: _Broken) -> Client:
    return Client(Profile(url=f"http://127.0.0.1:{server.server_port}"))


def test_a_broken_line_goes_on_from_where_it_broke(server: _Broken, tmp_path: Path) -> None:
    server.breaks = 2
    target = tmp_path / "out.bin"
    with client(server) as known:
        assert download(known, _STORED, target) == len(_CONTENT)
    assert target.read_bytes() == _CONTENT
    assert server.asked == ["", "bytes=3000-", "bytes=6000-"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_line_that_never_holds_leaves_nothing(server: _Broken, tmp_path: Path) -> None:
    server.breaks = 99
    with client(server) as known, pytest.raises(Unreachable):
        download(known, _STORED, tmp_path / "out.bin")
    assert (len(server.asked), list(tmp_path.iterdir())) == (4, [])


def test_damaged_bytes_never_take_the_place_of_what_was_there(server: _Broken, tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"before")
    server.content = b"x" + _CONTENT[1:]
    with client(server) as known, pytest.raises(Failure, match="damaged"):
        download(known, _STORED, target)
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]
