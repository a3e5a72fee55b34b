"""One Ingress of a thousand changes: how long until its new rules answer."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from operators.ingress.kingress import KIngress
from operators.ingress.objects import Subset
from operators.ingress.probe import is_live
from tests.bench.report import Check, Report, Result
from tests.ingress.harness import World, a_world, started
from tests.ingress.objects import ingress, path, rule, service, split

__all__ = ["run"]

_ROUTES = 1_000
_LOCAL_SUFFIXES = ("", ".svc", ".svc.cluster.local")


def run(report: Report, *, quick: bool = False) -> None:
    """Change one among a thousand over the runtime socket, then each time with a reload."""
    changes = 20 if quick else 200
    with tempfile.TemporaryDirectory(prefix="i") as folder, a_world(Path(folder)) as world:
        started(world)
        _fill(world)
        live = [_change(world, number, reload=False) for number in range(changes)]
        reloaded = [_change(world, number, reload=True) for number in range(changes // 10)]
    result = Result.of("runtime socket, 1,000 Ingresses of 4 hosts", live)
    report.results += [result, Result.of("reload each time", reloaded)]
    report.checks.append(Check.at_most("p95 of a change among 1,000, ms", result.p95, 60))


def _service(name: str, number: int, generation: int = 1) -> KIngress:
    """Return an Ingress as Knative makes it for a Service."""
    revision: dict[str, Any] = split(name, 100, Knative_Serving_Revision=name, Knative_Serving_Namespace="fn")
    rules = [rule(path(revision), host=f"f{number}-fn.example.com")]
    rules += [rule(path(revision), host=f"f{number}.fn{suffix}", local=True) for suffix in _LOCAL_SUFFIXES]
    return ingress(*rules, name=f"f{number:04}", generation=generation)


def _fill(world: World) -> None:
    for name in ("one", "two"):
        world.echo(name)
    for number in range(_ROUTES + 1):
        world.services[f"fn/r{number}"] = service()
        port = world.backends["two" if number == _ROUTES else "one"].port
        world.endpoints[f"fn/r{number}"] = (Subset(("127.0.0.1",), {"http": port}),)
    world.apply(*(_service(f"r{number}", number) for number in range(_ROUTES)))


def _change(world: World, number: int, *, reload: bool) -> float:
    """Send one function's calls elsewhere; returns the milliseconds until the gateway says it does."""
    backend = (f"r{_ROUTES}", "r500")[number % 2]
    changed = _service(backend, 500, generation=number + 2)
    world.ingresses = {**world.ingresses, changed.key: changed}
    # Servers and entries of earlier changes go meanwhile, as they would.
    world.now[0] += 3
    if reload:
        world.proxy.forget()
    began = time.perf_counter()
    applied = world.apply()
    live = is_live(world.settings, world.verdict(changed.key).probes, changed.hash)
    took = (time.perf_counter() - began) * 1_000
    if applied.reloaded != reload or not live:
        raise RuntimeError(f"the change was {'' if live else 'not '}live, reloaded: {applied.reloaded}")
    world.proxy.tidy()
    return took
