"""The `Runtime` port on one machine: writes the wanted state and asks the function host.

A client of the host's control socket and nothing more; the host runs in its
own process and starts from the same file when nobody asks.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from control_plane.domain.desired import HostState, HostTarget
from control_plane.errors import Invalid, NotFound, Unavailable
from control_plane.ports import Prepared, TestCall, TestOutcome

__all__ = ["EmbeddedRuntime", "render_state"]

_CONNECT_TIMEOUT_S = 5.0
_APPLY_TIMEOUT_S = 30.0
# What the host may take beyond the time that the caller gave the function.
_MARGIN_S = 10.0
_ANSWER_BYTES = 64 << 20


def render_state(state: HostState) -> str:
    """Return the text of `desired.json`."""
    targets = [asdict(target) for target in state.targets]
    return json.dumps({"format": 1, "epoch": state.epoch, "targets": targets}, sort_keys=True)


class EmbeddedRuntime:
    """Speaks to the function host of this machine."""

    def __init__(self, folder: Path, run: Path) -> None:
        """`folder` is the host's data folder, `run` the run folder with `host.sock` and `fn/`."""
        self._desired = folder / "desired.json"
        self._control = run / "host.sock"
        self._sockets = run / "fn"

    def apply(self, state: HostState) -> None:
        """Write the wanted state durably and wait until every target listens."""
        _replace(self._desired, render_state(state))
        _raise_for(self._ask({"op": "apply"}, _APPLY_TIMEOUT_S))

    def prepare(self, target: str, timeout_ms: int, digest: str = "") -> Prepared:
        """Load a target's code once and say whether it serves; wait first for this code of it."""
        request = {"op": "prepare", "target": target, "timeout_ms": timeout_ms, "digest": digest}
        # Waiting for the code and loading it may each take that long.
        answer = self._ask(request, timeout_ms / 500 + _MARGIN_S)
        if answer.get("code") == "not_found":
            _raise_for(answer)
        return Prepared(
            ok=bool(answer.get("ok")),
            ms=float(answer.get("ms", 0.0)),
            code=str(answer.get("code", "")),
            message=str(answer.get("message", "")),
            log=tuple(str(line) for line in answer.get("log", ())),
        )

    def test(self, target: HostTarget, call: TestCall) -> TestOutcome:
        """Run one request in a one-shot instance of the same sandbox."""
        request = {
            "op": "test",
            "target": asdict(target),
            "timeout_ms": call.timeout_ms,
            "run": call.run,
            "request": {
                "method": call.method,
                "path": call.path,
                "headers": [list(pair) for pair in call.headers],
                "body": base64.b64encode(call.body).decode(),
            },
        }
        answer = self._ask(request, call.timeout_ms / 1000 + _MARGIN_S)
        if answer.get("code") in {"invalid", "unavailable", "internal"}:
            _raise_for(answer)
        return TestOutcome(
            status=int(answer.get("status", 0)),
            headers=tuple((str(name), str(value)) for name, value in answer.get("headers", ())),
            body=base64.b64decode(answer.get("body", "")),
            logs=tuple(answer.get("logs", ())),
            duration_ms=float(answer.get("duration_ms", 0.0)),
            import_ms=float(answer.get("import_ms", 0.0)),
            import_profile=tuple(
                (str(m), int(own), int(total)) for m, own, total in answer.get("import_profile", ())
            ),
            peak_mb=float(answer.get("peak_mb", 0.0)),
            code=str(answer.get("code", "")),
            message=str(answer.get("message", "")),
        )

    def test_logs(self, run: str) -> tuple[Mapping[str, Any], ...]:
        """Return all that a test run has written until now; nothing when it does not run."""
        answer = self._ask({"op": "watch", "run": run}, _APPLY_TIMEOUT_S)
        _raise_for(answer)
        return tuple(answer["logs"])

    def cancel_test(self, run: str) -> bool:
        """End a test run; its caller gets the code `cancelled`. Says whether it ran."""
        answer = self._ask({"op": "cancel", "run": run}, _APPLY_TIMEOUT_S)
        _raise_for(answer)
        return bool(answer["running"])

    def status(self) -> Mapping[str, Any]:
        """Return what runs."""
        answer = self._ask({"op": "status"}, _APPLY_TIMEOUT_S)
        _raise_for(answer)
        return answer

    def socket_path(self, target: str) -> str:
        """Return the Unix socket that the gateway connects to."""
        return str(self._sockets / f"{target}.sock")

    def _ask(self, request: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_CONNECT_TIMEOUT_S)
                connection.connect(str(self._control))
                connection.sendall(json.dumps(request).encode() + b"\n")
                connection.settimeout(timeout_s)
                content = _read_line(connection)
        except OSError as error:
            raise Unavailable(
                f"The function host does not answer on {self._control}: {error}.",
                hint="Look at `ingot status` and the host's log.",
            ) from error
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise Unavailable("The function host ended in the middle of its answer.") from error
        if not isinstance(answer, dict):
            raise Unavailable("The function host gave an answer that is no object.")
        return answer


def _read_line(connection: socket.socket) -> bytes:
    content = bytearray()
    while not content.endswith(b"\n") and len(content) < _ANSWER_BYTES:
        piece = connection.recv(1 << 16)
        if not piece:
            break
        content += piece
    return bytes(content)


def _raise_for(answer: Mapping[str, Any]) -> None:
    if answer.get("ok"):
        return
    message = str(answer.get("message", "The function host refused without a reason."))
    kind = {"invalid": Invalid, "not_found": NotFound}.get(str(answer.get("code")), Unavailable)
    raise kind(message, field=answer.get("field"))


def _replace(path: Path, text: str) -> None:
    """Write the file so that a reader, or a crash, finds the old or the new one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
