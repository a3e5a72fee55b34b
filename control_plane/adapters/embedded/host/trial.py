"""A test run: one instance, one request on a private socket, then the end. Never metered as a call.

The request goes out and the answer comes in through the loop, so a slow
function holds up nobody.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import select
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from control_plane.adapters.embedded.host.births import Births
from control_plane.adapters.embedded.host.instance import Failure, Instance
from control_plane.adapters.embedded.host.listening import bind_listener
from control_plane.adapters.embedded.host.log_lines import LogRecord
from control_plane.adapters.embedded.host.loop import Loop
from control_plane.adapters.embedded.host.machine import Machine
from control_plane.adapters.embedded.host.spawning import Order, StartFailed
from control_plane.adapters.embedded.host.template_process import TemplateProcess
from control_plane.domain.desired import HostTarget

__all__ = ["Trial", "request_bytes"]

_ANSWER_BYTES = 10 << 20
_LOG_RECORDS = 1000
_HEADER_BREAKS = "\r\n\0"


def request_bytes(request: Mapping[str, Any]) -> bytes:
    """Return the HTTP/1.1 request. Raises ValueError when a part could break its framing."""
    method, path = str(request["method"]), str(request["path"])
    headers = [(str(name), str(value)) for name, value in request.get("headers", [])]
    body = base64.b64decode(request.get("body", ""), validate=True)
    for text in (method, path, *(part for pair in headers for part in pair)):
        if any(mark in text for mark in _HEADER_BREAKS):
            raise ValueError(f"{text[:40]!r} holds a line break")
    if not method.isalpha() or not path.startswith("/") or " " in path:
        raise ValueError("the method must be letters and the path must start with “/”, without spaces")
    framing = {"connection", "content-length", "transfer-encoding", "host"}
    lines = [f"{method} {path} HTTP/1.1", "Host: test", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers if name.lower() not in framing]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


class Trial:
    """One test run; `answer` is called once, and everything it used is gone by then."""

    def __init__(
        self,
        machine: Machine,
        births: Births,
        template: TemplateProcess,
        answer: Callable[[dict[str, Any]], None],
    ) -> None:
        self._machine, self._births, self._template, self._answer = machine, births, template, answer
        self._logs: list[dict[str, Any]] = []
        self._result: dict[str, Any] | None = None
        self._sent_at = 0.0
        self._instance: Instance | None = None

    def begin(self, wanted: HostTarget, request: bytes, timeout_s: float) -> None:
        """Start the instance; the rest follows from its events. Raises StartFailed."""
        config, loop = self._machine.config, self._machine.loop
        path = config.sockets / f"x{os.urandom(6).hex()}.sock"
        listener = bind_listener(path, 1, None)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.setblocking(False)
            connection.connect(str(path))
            order = Order(wanted, listener, self._template, one_shot=True)
            self._instance = instance = self._births.begin(order)
        except (OSError, StartFailed):
            connection.close()
            raise
        finally:
            path.unlink(missing_ok=True)
            listener.close()
        instance.log.on_record = self._note
        self._exchange = _Exchange(loop, connection, request, self._answered)
        instance.on_ready.append(lambda _ready: self._send())
        instance.on_gone.append(self._gone)
        self._timer = loop.after(timeout_s, self._too_late)

    @property
    def logs(self) -> Sequence[Mapping[str, Any]]:
        """What the instance has written until now."""
        return self._logs

    def cancel(self) -> None:
        """End it now; its answer says that it was cancelled."""
        self._result = _failed(Failure("cancelled", "the test run was cancelled"))
        self._kill("retired")

    def _note(self, record: LogRecord) -> None:
        if len(self._logs) < _LOG_RECORDS:
            fields = {"fields": record.fields} if record.fields else {}
            self._logs.append(
                {
                    "ts_ms": self._machine.loop.clock.unix_ms(),
                    "level": record.level,
                    "request_id": record.request_id,
                    "message": record.message,
                }
                | fields
            )

    def _send(self) -> None:
        self._sent_at = self._machine.loop.clock.monotonic()
        self._exchange.start()

    def _answered(self, answer: bytes, whole: bool) -> None:
        duration = (self._machine.loop.clock.monotonic() - self._sent_at) * 1000
        parsed = _parse_answer(answer) if whole else None
        if parsed is not None:
            self._result = {"ok": True, "duration_ms": round(duration, 3)} | parsed
        elif not whole:
            self._result = _failed(Failure("crashed", "the answer is larger than 10 MB"))
        if self._instance is None:
            return
        if self._result is not None:
            self._instance.ask_to_end("retired")
        # Without an answer it is about to end by itself, and how it does is the result.
        self._instance.timer = self._machine.loop.after(1.0, lambda: self._kill("retired"))

    def _too_late(self) -> None:
        self._result = _failed(Failure("overdue", "the function did not answer in time"))
        self._kill("overdue")

    def _kill(self, reason: str) -> None:
        if self._instance is not None:
            self._instance.kill(reason)
            if not self._instance.pid:
                self._births.give_up(self._instance)

    def _gone(self, instance: Instance) -> None:
        self._timer.cancel()
        # What it wrote before it ended is still in the socket.
        self._exchange.finish()
        if self._result is None:
            code = instance.reason if instance.reason in {"out_of_memory", "overdue"} else "crashed"
            text = "the function's process ended without an answer"
            if code == "out_of_memory":
                most = instance.wanted.limits.memory_mb
                text = f"the function used more than its {most} MB (limits.memory_mb)"
            failure = instance.failure or Failure(code, text)
            self._result = _failed(failure)
        self._answer(
            self._result
            | {
                "logs": self._logs,
                "import_ms": instance.import_us / 1000,
                "import_profile": instance.profile[:200],
                "peak_mb": round(instance.peak_mb, 1),
            }
        )


class _Exchange:
    """Sends the request and collects the answer until the end of the connection."""

    def __init__(
        self, loop: Loop, connection: socket.socket, request: bytes, done: Callable[[bytes, bool], None]
    ) -> None:
        self._loop, self._connection, self._left, self._done = loop, connection, request, done
        self._answer = bytearray()
        self._ended = False

    def start(self) -> None:
        """Begin to send."""
        if not self._ended:
            self._loop.watch(self._connection.fileno(), self._ready, select.EPOLLIN | select.EPOLLOUT)

    def finish(self) -> None:
        """Take what is left and close."""
        while not self._ended and self._receive():
            continue
        if not self._ended:
            self._end(whole=True)

    def _ready(self, events: int) -> None:
        if events & select.EPOLLOUT and self._left:
            with contextlib.suppress(OSError):
                self._left = self._left[self._connection.send(self._left[:65536]) :]
            if not self._left:
                self._loop.watch(self._connection.fileno(), self._ready, select.EPOLLIN)
        if events & ~select.EPOLLOUT:
            self._receive()

    def _receive(self) -> bool:
        """Take one piece; False when nothing came."""
        try:
            piece = self._connection.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""
        self._answer += piece
        if not piece or len(self._answer) > _ANSWER_BYTES:
            self._end(whole=not piece)
        return bool(piece) and not self._ended

    def _end(self, *, whole: bool) -> None:
        self._ended = True
        self._loop.forget(self._connection.fileno())
        self._connection.close()
        self._done(bytes(self._answer), whole)


class _Bytes:
    """What http.client wants of a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _mode: str) -> io.BytesIO:
        """Return the content as a file."""
        return io.BytesIO(self._content)


def _parse_answer(content: bytes) -> dict[str, Any] | None:
    """Return status, headers and body, None when it is no complete answer."""
    # Its parser is large, and most hosts never make a test run.
    import http.client

    response = http.client.HTTPResponse(_Bytes(content))  # type: ignore[arg-type]
    try:
        response.begin()
        body = response.read()
    except (http.client.HTTPException, OSError, ValueError):
        return None
    headers = [[name, value] for name, value in response.getheaders()]
    return {"status": response.status, "headers": headers, "body": base64.b64encode(body).decode()}


def _failed(failure: Failure) -> dict[str, Any]:
    return {"ok": False, "code": failure.code, "message": failure.message}
