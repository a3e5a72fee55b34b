"""Releases and rollbacks under constant load, beside reloads and retirements: no call fails."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from control_plane.adapters.gateway.runtime_socket import RuntimeSocket
from tests.bench.callers import Call, Callers, Shape
from tests.bench.functions import ask_host, run_folder
from tests.bench.report import Check, Report, Result
from tests.support.system import System, running_system, wait_for

__all__ = ["FUNCTIONS", "KEPT", "SHAPES", "history_of", "in_turn", "prepare", "run", "say", "take_turn"]

_LIMITS = "[limits]\nmemory_mb = 128\ninstances = 3\ntimeout_ms = 20000\n"
_SYNC = "def execute(input, context):\n    return 'v{version}'\n"
_STREAM = (
    "import asyncio\n\n\n"
    "async def app(scope, receive, send):\n"
    "    if scope['type'] != 'http':\n"
    "        return\n"
    "    await send({{'type': 'http.response.start', 'status': 200,\n"
    "                'headers': [(b'content-type', b'text/plain')]}})\n"
    "    for part in range(5):\n"
    "        await send({{'type': 'http.response.body', 'body': b'v{version} ', 'more_body': part < 4}})\n"
    "        await asyncio.sleep(0.01)\n"
)
_VERSIONS = 3
FUNCTIONS = ("plain", "stream")
# What is done to a function, over and over: (version, percent), or a rollback.
TURNS: tuple[tuple[int, int] | None, ...] = ((2, 100), (3, 25), None, (1, 100), None, (3, 100), (1, 100))
SHAPES = tuple(
    Shape(f"{method} {function}, {'kept' if keep else 'new'} connections", f"/acme/{function}", method, keep)
    for function in FUNCTIONS
    for method in ("POST", "GET")
    for keep in (True, False)
)
KEPT = sum(shape.keep for shape in SHAPES)
# A file's and the database's milliseconds, and the client's clock reading, may differ by this.
_CLOCK_S = 0.005
# Long enough for callers and retirements to come between two releases.
_BETWEEN_S = 0.3


def run(report: Report, *, quick: bool = False) -> None:
    """Release 200 times beside eight callers, a reloading gateway and instances that come and go."""
    releases = 30 if quick else 200
    # Instances end all the time: idle ones after half a second, busy ones after four.
    with running_system(INGOT_HOST_IDLE_TIMEOUT_S="0.5", INGOT_HOST_MAX_LIFE_S="4") as system:
        key = system.key("bench")
        prepare(system, key)
        disturber = _Disturber(system)
        with Callers(system.functions_port, key, SHAPES, pause_s=0.02) as callers, disturber:
            waits = []
            for number in range(releases):
                if number % 10 == 5:
                    # What a killed worker leaves behind: the next change is brought in by a reload.
                    (system.data / "gateway" / "changing").touch()
                waits.append(take_turn(system, number))
                time.sleep(_BETWEEN_S)
            reloads, ended = _reloads(system), _ended(system)
        history = {name: history_of(system, name) for name in FUNCTIONS}
    say(report, callers.calls, waits, reloads=reloads, ended_instances=ended)
    stale = Counter(call.shape.keep for call in callers.calls if call.good and not in_turn(call, history))
    missing = len({shape.name for shape in SHAPES} - {call.shape.name for call in callers.calls})
    report.checks += [
        Check.at_least("releases and rollbacks", len(waits), releases),
        Check.at_most("failed calls", len(callers.failures), 0),
        Check.at_most("answers of a version that was not released, on new connections", stale[False], 0),
        # A draining worker answers one more call on each kept connection, by the routes it has: ADR 0054.
        Check.at_most("the same on kept connections", stale[True], reloads * KEPT),
        Check.at_most("kinds of callers that never called", missing, 0),
        Check.at_least("reloads of the gateway", reloads, releases // 10),
        Check.at_least("instances that ended meanwhile", ended, releases // 2),
    ]


def prepare(system: System, key: str) -> None:
    """Make the functions, with all versions approved and the first one live."""
    for name in FUNCTIONS:
        code = _SYNC if name == "plain" else _STREAM
        kind = (
            "handler = 'main:execute'\n"
            if name == "plain"
            else "kind = 'asgi'\nhandler = 'main:app'\nstreaming = true\n"
        )
        for number in range(1, _VERSIONS + 1):
            files = {"ingot.toml": kind + _LIMITS, "main.py": code.format(version=number)}
            if number == 1:
                system.publish(name, files, seconds=240)
            else:
                system.approve(name, system.freeze(name, files))
        system.wait_callable(name, key)


def take_turn(system: System, number: int) -> float:
    """Do the next release or rollback; return the milliseconds until a person sees that it is live."""
    function = FUNCTIONS[number % len(FUNCTIONS)]
    turn = TURNS[number // len(FUNCTIONS) % len(TURNS)]
    owner = system.people["owner"]
    began = time.perf_counter()
    if turn is None:
        made = owner.call("POST", f"/functions/{function}/releases/rollback", json={})
    else:
        body = {"version": turn[0], "percent": turn[1]}
        made = owner.call("POST", f"/functions/{function}/releases", json=body)
    path = f"/functions/{function}/releases/{made['number']}"
    found: dict[str, Any] = {}

    def decided() -> bool:
        found.update(owner.call("GET", path))
        return bool(found["state"] != "pending")

    wait_for(decided, 60, 0.02)
    assert found["state"] in {"live", "superseded"}, found
    return (time.perf_counter() - began) * 1000


class _Disturber:
    """Retires instances at random and reloads the gateway as an operator does."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._random = random.Random(7)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)

    def _run(self) -> None:
        gateway = int(self._system.roles()["gateway"]["pid"])
        turn = 0
        while not self._ended.wait(0.25):
            turn += 1
            if turn % 16 == 8:
                os.kill(gateway, signal.SIGUSR2)
            targets = sorted(ask_host(self._system, "status")["targets"])
            # A target may be gone by now; the host says so, and nothing else happens.
            ask_host(self._system, "retire", target=self._random.choice(targets))


def _ended(system: System) -> int:
    """Return how many instances have ended."""
    records = (system.data / "host" / "records.log").read_text().splitlines()
    return len({line["instance"] for line in map(json.loads, records) if line["kind"] == "exit"})


def _reloads(system: System) -> int:
    """Return how many workers the gateway's master has started after its first."""
    listed = RuntimeSocket(f"{run_folder(system)}/gateway-master.sock").ask("show proc")
    (master,) = [line.split() for line in listed.splitlines() if " master " in line]
    return int(master[2])


_Span = tuple[float, float, frozenset[str]]


def history_of(system: System, function: str) -> list[_Span]:
    """Return from when to when which versions could be answered: recorded until superseded."""
    rows: list[dict[str, Any]] = []
    cursor = None
    while True:
        query = {"limit": 100} | ({"cursor": cursor} if cursor else {})
        page = system.people["owner"].call("GET", f"/functions/{function}/releases", params=query)
        rows += page["items"]
        cursor = page["next_cursor"]
        if not cursor:
            break
    return [
        (
            _seconds(row["created_at"]),
            _seconds(row["ended_at"]) if row["ended_at"] else float("inf"),
            frozenset(f"v{part['number']}" for part in row["parts"] if part["percent"]),
        )
        for row in rows
    ]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def in_turn(call: Call, history: dict[str, list[_Span]]) -> bool:
    """Say whether a whole answer is of one version, which was released while the call ran."""
    said = set(call.body.replace('"', "").split())
    spans = history[call.shape.path.rpartition("/")[2]]
    return len(said) == 1 and any(
        said <= versions and call.began <= until + _CLOCK_S and call.ended >= since - _CLOCK_S
        for since, until, versions in spans
    )


def say(report: Report, calls: Sequence[Call], waits: Sequence[float], **more: int) -> None:
    """Report each kind of caller, and how long releases took."""
    for shape in SHAPES:
        mine = [call for call in calls if call.shape == shape]
        latencies = [call.milliseconds for call in mine if call.good]
        report.results.append(Result.of(shape.name, latencies, len(mine) - len(latencies)))
    row = Result.of("a release, from the request until the API says live", waits, **more)
    report.results.append(row)
