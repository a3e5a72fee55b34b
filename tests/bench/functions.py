"""The functions that benchmarks call, and how a running Ingot's host is looked at.

Reaches the host's control socket, which a person's tool does not: to know that
an instance is gone, and that a template is there, before a cold call is timed.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from tests.support.system import System, wait_for

__all__ = ["ASGI", "HELLO", "PANDAS", "ask_host", "make_idle", "run_folder", "target_of", "template_ready"]

_TOML = "handler = 'main:execute'\n[limits]\nmemory_mb = {memory}\ninstances = 2\ntimeout_ms = 20000\n"

HELLO = {
    "ingot.toml": _TOML.format(memory=128),
    "main.py": "def execute(input, context):\n    return {'hello': (input or {}).get('name', 'world')}\n",
}

PANDAS = {
    "ingot.toml": _TOML.format(memory=512),
    "requirements.txt": "pandas==3.0.0\nnumpy==2.4.0\n",
    "main.py": (
        "import numpy\nimport pandas\n\n\n"
        "def execute(input, context):\n"
        "    frame = pandas.DataFrame({'a': numpy.arange(10)})\n"
        "    return {'sum': int(frame['a'].sum())}\n"
    ),
}

ASGI = {
    "ingot.toml": (
        "kind = 'asgi'\nhandler = 'main:app'\nstreaming = true\n[limits]\nmemory_mb = 128\ninstances = 2\n"
    ),
    "main.py": (
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http':\n"
        "        return\n"
        "    await send({'type': 'http.response.start', 'status': 200,\n"
        "                'headers': [(b'content-type', b'text/plain')]})\n"
        "    for part in range(5):\n"
        "        body = b'part %d\\n' % part\n"
        "        await send({'type': 'http.response.body', 'body': body, 'more_body': part < 4})\n"
    ),
}


def run_folder(system: System) -> str:
    """Return the folder of the sockets."""
    found: str = json.loads((system.data / "config" / "api.json").read_text())["run"]
    return found


def ask_host(system: System, operation: str, **more: Any) -> dict[str, Any]:
    """Ask the function host's control socket."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(30)
        channel.connect(f"{run_folder(system)}/host.sock")
        channel.sendall(json.dumps({"op": operation, **more}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(channel.makefile().readline())
    return answer


def target_of(system: System, function: str) -> str:
    """Return the target id of a function's only version."""
    desired = json.loads((system.data / "host" / "desired.json").read_text())
    (found,) = [target["id"] for target in desired["targets"] if target["function_name"] == function]
    return str(found)


def make_idle(system: System, target: str) -> None:
    """End a target's instances; wait until it has none and nothing is left to prepare for the next start."""
    ask_host(system, "retire", target=target)

    def settled() -> bool:
        status = ask_host(system, "status")
        return not status["targets"][target]["instances"] and not status["preparing"]

    wait_for(settled, 120, 0.002)


def template_ready(system: System, target: str) -> bool:
    """Say whether the target's level-2 template is hot, with nothing left to prepare."""
    status = ask_host(system, "status")
    if status["preparing"]:
        return False
    templates = status["templates"]
    return any(one.get("target") == target and one["state"] == "ready" for one in templates)
