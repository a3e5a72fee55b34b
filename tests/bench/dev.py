"""A saved file until its first answer, with `ingot dev` phase by phase; the peer's own reloader beside it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tests.bench.peers import Peer, running
from tests.bench.report import Check, Report, Result
from tests.support.system import System, running_system

__all__ = ["run"]

_ROOT: Final = Path(__file__).resolve().parents[2]
_GOAL_MS: Final = 200.0
# Between two calls that look for the new answer, so that looking does not become the load.
_LOOK_S: Final = 0.004
# Between two edits, as a person who saves has read the answer before.
_REST_S: Final = 0.25
# An edit that the peer has not served by then was missed by it.
_PEER_S: Final = 15.0
_PHASES: Final = ("seen", "sent", "recorded", "loaded", "answered")
_HANDLER: Final = "def execute(input, context):\n    return {'answer': %d}\n"
_NUMPY: Final = (
    "import numpy\n\n\ndef execute(input, context):\n    return {'answer': int(numpy.int64(%d))}\n"
)
_PEER_HANDLER: Final = (
    "from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.post('/')\n"
    "def execute():\n    return {'answer': %d}\n"
)
# The one under `functions-framework --debug`, which did not see its own file change when it was tried.
_PEER: Final = Peer(
    "flask debug reloader",
    ("flask==3.1.3",),
    {"main.py": _PEER_HANDLER % 0},
    ("{python}", "-m", "flask", "--app", "main", "run", "--debug", "--port", "{port}"),
    {},
)


def run(report: Report, *, quick: bool = False) -> None:
    """Edit a function over and over, without and with a dependency, and the peer's file too."""
    edits = 5 if quick else 60
    with running_system() as system:
        plain = _edits(report, system, "hello", {"main.py": _HANDLER}, edits)
        files = {"main.py": _NUMPY, "requirements.txt": "numpy==2.4.0\n"}
        _edits(report, system, "numbers", files, max(5, edits // 2))
    peer = _peer(report, max(3, edits // 6))
    report.checks += [
        Check.at_most("save to first answer with the new code p50, ms", plain.p50, _GOAL_MS),
        Check.at_most("save to first answer with the new code p95, ms", plain.p95, _GOAL_MS),
        Check.is_true("faster than the peer's reloader in the same run", plain.p50 < peer.p50),
    ]


def _edits(report: Report, system: System, name: str, files: dict[str, str], edits: int) -> Result:
    """Save `main.py` over and over below a running `ingot dev`."""
    system.people["author"].call("POST", "/functions", json={"name": name, "project": "main"})
    whole, phases = [], {phase: list[float]() for phase in _PHASES}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made, name)
        folder.mkdir()
        (folder / "ingot.toml").write_text("")
        for path, text in files.items():
            (folder / path).write_text(text % 0 if path == "main.py" else text)
        with _dev(system, name, folder) as events:
            preview = _next(events, "preview")
            _next(events, "reloaded")
            _answers(preview["url"], preview["key"], 0)
            for number in range(1, edits + 1):
                time.sleep(_REST_S)
                began = time.time()
                (folder / "main.py").write_text(files["main.py"] % number)
                _answers(preview["url"], preview["key"], number)
                ms = (time.time() - began) * 1000
                whole.append(ms)
                told = _next(events, "reloaded")
                done = 0.0
                for phase in _PHASES[:-1]:
                    phases[phase].append(told["phases"][phase])
                    done += told["phases"][phase]
                phases["answered"].append(ms - done)
    middle: dict[str, Any] = {
        f"{phase}_p50": round(sorted(values)[len(values) // 2], 1) for phase, values in phases.items()
    }
    result = Result.of(f"ingot dev, {name}: save to first new answer", whole, **middle)
    report.results.append(result)
    return result


def _peer(report: Report, edits: int) -> Result:
    """Save the peer's file below its own debug reloader."""
    whole, missed = [], 0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with running(_PEER, folder) as (port, _):
            for number in range(1, edits + 1):
                # It looks once a second, and takes what it first sees after a restart for unchanged.
                time.sleep(3)
                began = time.time()
                (folder / "main.py").write_text(_PEER_HANDLER % number)
                try:
                    _answers(f"http://127.0.0.1:{port}/", "", number, _PEER_S)
                except TimeoutError:
                    missed += 1
                    continue
                whole.append((time.time() - began) * 1000)
    result = Result.of(
        "flask's debug reloader: save to first new answer", whole, missed, versions=_PEER.versions
    )
    report.results.append(result)
    return result


def _answers(url: str, key: str, number: int, seconds: float = 60) -> None:
    """Call until the new code answers."""
    address = urlsplit(url)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(address.netloc, timeout=20)
        try:
            headers = {"X-Api-Key": key, "Content-Type": "application/json"}
            connection.request("POST", address.path, b"{}", headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status == 200 and json.loads(content) == {"answer": number}:
                return
        except OSError:
            # The peer's port is closed while it restarts.
            pass
        finally:
            connection.close()
        time.sleep(_LOOK_S)
    raise TimeoutError(f"{url} did not answer with edit {number} within {seconds:g} s")


@contextlib.contextmanager
def _dev(system: System, name: str, folder: Path) -> Iterator[queue.Queue[dict[str, Any]]]:
    """Run `ingot dev` as a process of its own; yield what it says."""
    token = system.people["author"].http.headers["Authorization"].removeprefix("Bearer ")
    environment = {
        **os.environ,
        "INGOT_URL": system.console,
        "INGOT_TOKEN": token,
        "INGOT_CONFIG_HOME": str(folder.parent / "config"),
    }
    command = [sys.executable, "-m", "control_plane.cli.main", "-o", "json", "dev", name]
    process = subprocess.Popen(
        [*command, "--folder", str(folder)], cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    events: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            events.put(json.loads(line))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield events
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(10)


def _next(events: queue.Queue[dict[str, Any]], what: str) -> dict[str, Any]:
    """Return the next event of a kind."""
    while True:
        event = events.get(timeout=60)
        if event["event"] == what:
            assert event.get("ok", True), event
            return event
