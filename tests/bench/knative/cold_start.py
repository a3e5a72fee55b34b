"""First call to a function at zero, on stock Knative and kubelet; beside functions-framework there."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx

from knative.bootstrap.plan import NODE_ADDRESS
from tests.bench.knative.stock import STOCK, host, make_services, push_stock, remove_services
from tests.bench.knative.waterfall import PARTS, SOURCE, PodWatch, parts_of
from tests.bench.peers import FUNCTIONS_FRAMEWORK
from tests.bench.report import Check, Report, Result
from tests.support.knative_system import KnativeSystem, knative_system

__all__ = ["run"]

_TOML: Final = "handler = 'main:execute'\n[limits]\nmemory_mb = 128\ninstances = 2\ntimeout_ms = 20000\n"
_PUBLIC: Final = f"http://{NODE_ADDRESS}:8080/"
# Between two calls, so that each finds the node idle, at no fixed place in the kubelet's second.
_PAUSE_S: Final = (1.5, 2.5)


@dataclass(slots=True)
class _Seen:
    """What the calls of one side took."""

    latencies_ms: list[float] = field(default_factory=list)
    errors: int = 0
    parts: list[list[float]] = field(default_factory=list)


def run(report: Report, *, quick: bool = False) -> None:
    """Let everything go to zero, call one function after another, in rounds."""
    functions, peers, rounds = (6, 3, 1) if quick else (16, 8, 2)
    with knative_system() as world:
        key = world.system.key("bench")
        names = [f"cold-{number}" for number in range(functions)]
        for name in names:
            world.system.publish(name, {"ingot.toml": _TOML, "main.py": SOURCE}, seconds=240)
            world.system.wait_callable(name, key)
        try:
            stock = make_services(world.operator.cluster, push_stock(world.images), peers)
            ours, theirs = _measure(world, key, names, stock, rounds)
        finally:
            remove_services(world.operator.cluster)
    _say(report, ours, theirs)


def _measure(
    world: KnativeSystem, key: str, names: Sequence[str], stock: Sequence[str], rounds: int
) -> tuple[_Seen, _Seen]:
    ours, theirs, chance = _Seen(), _Seen(), random.Random()
    namespace = world.namespace
    every = len(names) // len(stock)
    with PodWatch(world.operator.cluster, namespace) as watch:
        for _ in range(rounds):
            world.await_zero(namespace)
            world.await_zero(STOCK)
            for place, name in enumerate(names):
                time.sleep(chance.uniform(*_PAUSE_S))
                _call_ours(world, key, name, watch, ours)
                if place % every == 0:
                    time.sleep(chance.uniform(*_PAUSE_S))
                    _call_stock(stock[place // every], theirs)
    return ours, theirs


def _call_ours(world: KnativeSystem, key: str, name: str, watch: PodWatch, seen: _Seen) -> None:
    began = time.time()
    answer = _post(world.system.url(name), {"X-Api-Key": key}, seen)
    ended = time.time()
    pod = watch.of(name, began)
    if answer and pod:
        seen.parts.append(parts_of(began, ended, pod, json.loads(answer)))


def _call_stock(name: str, seen: _Seen) -> None:
    _post(_PUBLIC, {"Host": host(name)}, seen)


def _post(url: str, headers: dict[str, str], seen: _Seen) -> str:
    """Call once on a connection of its own; returns the body of a good answer."""
    began = time.perf_counter()
    answer = httpx.post(url, json={"name": "a"}, headers=headers, timeout=40)
    if answer.status_code != 200:
        seen.errors += 1
        return ""
    seen.latencies_ms.append((time.perf_counter() - began) * 1000)
    return answer.text


def _say(report: Report, ours: _Seen, theirs: _Seen) -> None:
    row = Result.of("Ingot, from zero, through the gateway with a key", ours.latencies_ms, ours.errors)
    peer = Result.of(
        "functions-framework, from zero, Knative's own settings",
        theirs.latencies_ms,
        theirs.errors,
        runs=FUNCTIONS_FRAMEWORK.versions,
    )
    report.results += [row, peer]
    for place, part in enumerate(PARTS):
        report.results.append(Result.of(f"of it: {part}", [spans[place] for spans in ours.parts]))
    report.checks += [
        Check.at_most("from zero p50, ms", row.p50, 1_100),
        Check.at_most("from zero p95, ms", row.p95, 1_500),
        Check.at_least("times faster than functions-framework, p50", peer.p50 / row.p50, 1.5),
        Check.is_true("every call was answered", not row.errors and not peer.errors),
        Check.is_true("every call's time is accounted for", len(ours.parts) == row.n > 0),
    ]
