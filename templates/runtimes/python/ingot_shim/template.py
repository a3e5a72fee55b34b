"""The fork server: a warm interpreter that makes instances on request.

Started by the function host with the control socket as descriptor 3; the
messages are in the contracts between the processes. Level 1 is trusted and
never reads a spec, as what it read would be in the memory of every later fork.
Level 2 has imported one function's code and runs inside its sandbox.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingot_sandbox.base import Base
    from ingot_sandbox.spec import SandboxSpec

    from ingot_shim.load import Loaded

__all__ = ["main"]

_CONTROL = 3
_MESSAGE_BYTES = 1 << 18
# Descriptors that come with each message, in the order of the contracts; doors of groups follow.
_SPAWN = 5
_BECOME = 3


def main() -> None:
    """Serve the control socket; in a fork, be what was asked for until its end."""
    control = socket.socket(fileno=_CONTROL)
    control.set_inheritable(False)
    hello = json.loads(control.recv(_MESSAGE_BYTES))
    here = str(Path(__file__).resolve().parent.parent)
    sys.path[:0] = [here, hello["sandbox"]]
    try:
        base = _prepare(hello, here)
    except Exception as error:  # noqa: BLE001 - whatever it is, the host must hear of it.
        _say(control, {"event": "failed", "code": "isolation_unavailable", "message": str(error)})
        sys.exit(1)
    # Objects of before the forks stay out of the collector, so that their pages stay shared.
    gc.collect()
    gc.freeze()
    tag = f"{sys.implementation.cache_tag}-{importlib.util.MAGIC_NUMBER.hex()}"
    _say(control, {"event": "ready", "tag": tag})
    # A fork returns what it is to be instead of being it at the bottom of the template's stack.
    task = _serve(control, base, None)
    if task is not None:
        task()


def _prepare(hello: dict[str, Any], here: str) -> Base:
    # All of the shim, and what the code of many authors imports: warm for the forks.
    import http.client  # noqa: F401

    from ingot_sandbox import base, become, enter  # noqa: F401 - warm for the forks.

    from ingot_shim import asynchronous, load, logpipe, profiling, serve, validation  # noqa: F401

    if hello.get("validator"):
        validation.preload(hello["validator"])
    first, last = hello["uids"]
    return base.prepare(
        hello["isolation"],
        hello["roots"],
        [here, hello["sandbox"], *([hello["validator"]] if hello.get("validator") else [])],
        range(first, last),
    )


def _serve(control: socket.socket, base: Base, loaded: Loaded | None) -> Callable[[], None] | None:
    """Obey until `stop` or until the host is gone."""
    while True:
        content, descriptors, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, 8)
        if not content:
            return None
        message = json.loads(content)
        task = None
        if message["op"] == "spawn" and len(descriptors) >= _SPAWN:
            task = _spawn(base, message, descriptors, loaded)
        elif message["op"] == "become" and len(descriptors) == _BECOME and loaded is None:
            task = _become(base, message, descriptors)
        elif message["op"] == "stop":
            return None
        if task is not None:
            # This is the fork: the template's control socket is not its business.
            control.detach()
            return task
        for descriptor in descriptors:
            os.close(descriptor)


def _spawn(
    base: Base, message: dict[str, Any], descriptors: Sequence[int], loaded: Loaded | None
) -> Callable[[], None] | None:
    from ingot_sandbox.enter import spawn_instance

    own, doors = descriptors[:_SPAWN], descriptors[_SPAWN:]
    spec, listener, _, log, status = own
    sandbox = _sandbox(message, own, log, status)
    sandbox.listener, sandbox.groups = listener, tuple(doors)
    if not spawn_instance(base, sandbox):
        return None
    return lambda: _instance(base, sandbox, spec, own, loaded)


def _become(base: Base, message: dict[str, Any], descriptors: Sequence[int]) -> Callable[[], None] | None:
    from ingot_sandbox.become import become_template

    spec, control, log = descriptors
    sandbox = _sandbox(message, descriptors, log, control)
    if not become_template(base, sandbox):
        return None
    return lambda: _level2(base, sandbox, spec, control, log)


def _sandbox(message: dict[str, Any], descriptors: Sequence[int], log: int, status: int) -> SandboxSpec:
    from ingot_sandbox.spec import SandboxSpec

    return SandboxSpec(**message["sandbox"], descriptors=tuple(descriptors), output=log, status=status)


def _instance(
    base: Base, sandbox: SandboxSpec, spec: int, descriptors: Sequence[int], loaded: Loaded | None
) -> None:
    """Be an instance: load the code unless the template has, then serve until told to end."""
    from ingot_shim import load, logpipe, serve

    _, listener, slots, log, status_descriptor = descriptors
    status = socket.socket(fileno=status_descriptor)
    _wait_for_leave(status)
    document = _read_spec(base, sandbox, spec)
    logpipe.install(log)
    if loaded is None:
        try:
            loaded = load.load(document)
        except load.LoadFailed as error:
            serve.failed(status, error.code, error.message)
            os._exit(1)
    else:
        loaded.bind(document)
    served = serve.serve(loaded, socket.socket(fileno=listener), slots, log, status)
    os._exit(0 if served else 1)


def _level2(base: Base, sandbox: SandboxSpec, spec: int, control_descriptor: int, log: int) -> None:
    """Import the function's code once, then fork instances of it."""
    from ingot_shim import load, logpipe, serve

    control = socket.socket(fileno=control_descriptor)
    _wait_for_leave(control)
    document = _read_spec(base, sandbox, spec)
    logpipe.install(log)
    try:
        loaded = load.load(document)
    except load.LoadFailed as error:
        serve.failed(control, error.code, error.message)
        os._exit(1)
    gc.collect()
    gc.freeze()
    left_behind = {"threads": loaded.threads, "sockets": loaded.sockets}
    _say(control, {"event": "ready", "import_us": loaded.import_us} | left_behind)
    task = _serve(control, base, loaded)
    if task is not None:
        task()
    os._exit(0)


def _wait_for_leave(status: socket.socket) -> None:
    """Say that this process exists; the host places it in its groups before user code may run."""
    _say(status, {"event": "born"})
    try:
        allowed = status.recv(1) == b"g"
    except OSError:
        allowed = False
    if not allowed:
        os._exit(0)


def _read_spec(base: Base, sandbox: SandboxSpec, descriptor: int) -> dict[str, Any]:
    with os.fdopen(descriptor, "rb") as file:
        document: dict[str, Any] = json.loads(file.read())
    if base.level == "namespaces":
        # Bytecode is mounted here; without any, Python finds nothing and may write nothing.
        sys.pycache_prefix = "/bytecode"
    document["paths"] = {name: base.layer_path(sandbox, name) for name in document["paths"]}
    return document


def _say(channel: socket.socket, message: dict[str, Any]) -> None:
    try:
        channel.send(json.dumps(message).encode(), socket.MSG_NOSIGNAL)
    except OSError:
        # The host is gone; the next read on the channel says so too.
        return


if __name__ == "__main__":
    main()
