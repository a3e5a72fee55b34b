"""An honest function that is called all the time, and what hostile ones try to reach.

Starts threads and looks at /proc; knows no probe.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.bench.functions import ask_host, run_folder, target_of, template_ready
from tests.e2e.hostile_functions import CANARY
from tests.support.system import System, wait_for

__all__ = ["Neighbour", "descendants", "facts_of"]

_SOURCE = f"""
import secrets

HELD = {CANARY!r}
state = {{}}

def on_start(context):
    state["instance"] = secrets.token_hex(8)

def execute(input, context):
    assert context.secrets["CANARY_SECRET"] == context.settings["CANARY_SETTING"] == HELD
    return {{"nonce": input["nonce"], "instance": state["instance"]}}
"""
_MANIFEST = (
    "handler = 'main:execute'\nsettings = ['CANARY_SETTING']\nsecrets = ['CANARY_SECRET']\n"
    "[limits]\ninstances = 1\nmemory_mb = 64\n"
)


class Neighbour:
    """Calls the honest function with a key of its own, over and over, and keeps what went wrong."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.calls = 0
        self.failures: list[str] = []
        self.instances: set[str] = set()
        self.slowest_s = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._call, daemon=True)
        owner = system.people["owner"]
        owner.call("PUT", "/projects/main/settings/CANARY_SETTING", json={"value": CANARY})
        owner.call("PUT", "/projects/main/secrets/CANARY_SECRET", json={"value": CANARY})
        system.publish("neighbour", {"ingot.toml": _MANIFEST, "main.py": _SOURCE})
        self.key = system.key("neighbour", functions=["neighbour"])
        self.target = target_of(system, "neighbour")
        system.wait_callable("neighbour", self.key)
        if ask_host(system, "status")["level2"] == "on":
            wait_for(lambda: template_ready(system, self.target))
        self._thread.start()
        wait_for(lambda: self.calls)

    def stop(self) -> None:
        """Call no more."""
        self._end.set()
        self._thread.join(60)

    def still_serves(self) -> None:
        """AssertionError unless every call so far was answered, by one instance, and new ones are."""
        before = self.calls
        wait_for(lambda: self.calls >= before + 3 or self.failures)
        assert not self.failures, self.failures[:5]
        assert len(self.instances) == 1, self.instances

    def _call(self) -> None:
        with httpx.Client(timeout=60, headers={"X-Api-Key": self.key}) as client:
            while not self._end.wait(0.01):
                began = time.monotonic()
                try:
                    answer = client.post(self._system.url("neighbour"), json={"nonce": self.calls})
                    if answer.status_code != 200 or answer.json()["nonce"] != self.calls:
                        self.failures.append(f"{self.calls}: {answer.status_code} {answer.text[:300]}")
                    else:
                        self.instances.add(answer.json()["instance"])
                except (httpx.HTTPError, ValueError, KeyError) as error:
                    self.failures.append(repr(error))
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.calls += 1


def descendants(pid: int) -> set[int]:
    """Return the processes below one, zombies too."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found


def facts_of(system: System, neighbour: Neighbour, abstract: str) -> Mapping[str, Any]:
    """Return what a hostile function tries to reach, as its input."""
    assert system.process is not None
    run = Path(run_folder(system))
    desired = json.loads((system.data / "host" / "desired.json").read_text())
    layers = json.dumps(next(one for one in desired["targets"] if one["id"] == neighbour.target))
    own = [path for path in (system.data / "layers").iterdir() if path.name in layers]
    assert own, "the neighbour's layer is where it is looked for"
    data = [path for path in system.data.rglob("*") if path.is_file() and "layers" not in path.parts]
    wanted = [path for path in data if "blobs" not in path.parts and "bytecode" not in path.parts]
    return {
        "files": [str(path) for path in (*own, own[0] / "main.py", *wanted[:60])],
        "roots": ["/", str(system.data)],
        "sockets": [str(path) for path in run.rglob("*.sock")],
        "ports": [system.console_port, system.functions_port],
        "pids": sorted({system.process.pid, *descendants(system.process.pid)}),
        "abstract": abstract,
        "neighbour": neighbour.target,
        "disk_files": 8 if ask_host(system, "status")["isolation"] == "namespaces" else 1,
    }
