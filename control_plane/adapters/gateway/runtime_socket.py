"""Speaks to HAProxy's runtime sockets: one worker's, and the master's.

Every question has a time limit and every answer is returned whole; what an
answer means is decided by the caller.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from control_plane.adapters.gateway.commands import Command

__all__ = ["Master", "RuntimeSocket", "UnexpectedAnswer", "Worker"]

# Lines are joined with `;` up to this size; HAProxy's own limit is its 32 kB buffer.
LONGEST_LINE = 12_000
LARGEST_ANSWER = 64_000_000


class UnexpectedAnswer(Exception):
    """HAProxy said something else than a success; the caller reloads everything."""


def _joined(commands: Iterable[Command]) -> Iterable[list[Command]]:
    """Group commands that can share a line: those without payload that answer with nothing."""
    group: list[Command] = []
    size = 0
    for command in commands:
        alone = "\n" in command.text or command.answers != frozenset({""})
        if group and (alone or size + len(command.text) > LONGEST_LINE):
            yield group
            group, size = [], 0
        if alone:
            yield [command]
            continue
        group.append(command)
        size += len(command.text) + 1
    if group:
        yield group


@dataclass(frozen=True, slots=True)
class RuntimeSocket:
    """One worker's socket, or through `prefix` a worker behind the master's."""

    path: str
    timeout_s: float = 5.0
    # "@!1234 " on the master's socket, empty on a worker's own.
    prefix: str = ""

    def ask(self, text: str) -> str:
        """Send one line, or a line and its payload, and return the whole answer. Raises OSError."""
        if "\n" in text:
            text = text.rstrip("\n") + "\n"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self.timeout_s)
            connection.connect(self.path)
            connection.sendall((self.prefix + text + "\n").encode())
            connection.shutdown(socket.SHUT_WR)
            pieces: list[bytes] = []
            size = 0
            while piece := connection.recv(65_536):
                pieces.append(piece)
                size += len(piece)
                if size > LARGEST_ANSWER:
                    raise UnexpectedAnswer(
                        f"the answer to {text[:60]!r} is longer than {LARGEST_ANSWER} bytes"
                    )
        return b"".join(pieces).decode("utf-8", "replace")

    def send(self, commands: Sequence[Command]) -> None:
        """Send commands in order. Raises UnexpectedAnswer or OSError at the first failure."""
        for group in _joined(commands):
            answer = self.ask(";".join(command.text for command in group)).strip()
            if answer not in group[0].answers:
                first = group[0].text.splitlines()[0]
                raise UnexpectedAnswer(f"HAProxy answered {answer[:200]!r} to {first[:200]!r}")

    def running(self) -> bool:
        """Say whether anyone listens on the socket."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self.timeout_s)
                connection.connect(self.path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def process(self) -> str:
        """Return the worker's process id, which tells a restart apart."""
        found = re.search(r"^Pid: (\d+)$", self.ask("show info"), re.MULTILINE)
        if found is None:
            raise UnexpectedAnswer("`show info` names no Pid")
        return found[1]


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as the master lists it."""

    pid: int
    draining: bool


@dataclass(frozen=True, slots=True)
class Master:
    """The master's socket: all workers, and reload."""

    path: str
    timeout_s: float = 30.0

    def _ask(self, text: str) -> str:
        """Ask the master; it listens a moment later than its first worker."""
        patience = time.monotonic() + 2
        while True:
            try:
                return RuntimeSocket(self.path, self.timeout_s).ask(text)
            except (ConnectionRefusedError, FileNotFoundError):
                if time.monotonic() > patience:
                    raise
                time.sleep(0.01)

    def workers(self) -> list[Worker]:
        """Return the serving worker and the draining ones. Raises OSError."""
        found: list[Worker] = []
        draining = False
        for line in self._ask("show proc").splitlines():
            if line.startswith("#"):
                draining = "old workers" in line
                continue
            words = line.split()
            if len(words) > 1 and words[1] == "worker" and words[0].isdecimal():
                found.append(Worker(int(words[0]), draining))
        return found

    def worker(self, pid: int) -> RuntimeSocket:
        """Return the way to one worker, draining or not."""
        return RuntimeSocket(self.path, self.timeout_s, prefix=f"@!{pid} ")

    def reload(self) -> None:
        """Start a new worker from the files; returns when it serves. Raises UnexpectedAnswer."""
        answer = self._ask("reload")
        if not answer.startswith("Success=1"):
            raise UnexpectedAnswer(f"the reload failed: {answer[:2000]!r}")
