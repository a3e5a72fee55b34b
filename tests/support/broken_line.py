"""A line to a server that fails as lines do: it is cut, it is slow, or something else answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["BrokenLine", "broken_line"]

_ANSWER = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BrokenLine:
    """Passes bytes on to a port of this machine, with the fault that is set."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        # Connections that were made until now.
        self.connections = 0
        # Bytes of answers after which each connection is cut; 0 for never.
        self.cut_after = 0
        # How many further connections are cut; below 0 for all.
        self.cuts_left = -1
        # Whether a 503 comes instead of an answer, and whether none comes at all.
        self.refusing = self.silent = False
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End everything."""
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                self.connections += 1
                self._open.append(caller)
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with suppress(OSError):
            if self.silent:
                caller.settimeout(30)
                while caller.recv(65536):
                    pass
            elif self.refusing:
                caller.recv(65536)
                caller.sendall(_ANSWER)
                caller.shutdown(socket.SHUT_WR)
            else:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=30)
                self._open.append(server)
                threading.Thread(target=_pass_on, args=(caller, server), daemon=True).start()
                self._answer(server, caller)

    def _answer(self, server: socket.socket, caller: socket.socket) -> None:
        passed = 0
        while content := server.recv(65536):
            if self.cut_after and self.cuts_left and passed + len(content) > self.cut_after:
                caller.sendall(content[: self.cut_after - passed])
                self.cuts_left -= 1
                break
            passed += len(content)
            caller.sendall(content)
        for one in (caller, server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def broken_line(target: int) -> Iterator[BrokenLine]:
    """Yield a line to a port of this machine."""
    line = BrokenLine(target)
    try:
        yield line
    finally:
        line.close()
