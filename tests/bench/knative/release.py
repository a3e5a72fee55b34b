"""Releases and rollbacks in the cluster under constant load, beside restarts of its parts: no call fails."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from control_plane.adapters.gateway.runtime_socket import RuntimeSocket
from operators.kinds import POD
from tests.bench.callers import Callers
from tests.bench.release import FUNCTIONS, SHAPES, history_of, in_turn, prepare, say, take_turn
from tests.bench.report import Check, Report
from tests.support.knative_system import KnativeSystem, knative_system
from tests.support.system import wait_for

__all__ = ["run"]

# After so many releases something is restarted, the next thing each time.
_EVERY: Final = 5
_BETWEEN_S: Final = 0.3


def run(report: Report, *, quick: bool = False) -> None:
    """Release 100 times beside eight callers; reload both gateways, restart operator and activator."""
    releases = 20 if quick else 100
    disturbances: tuple[tuple[str, Callable[[KnativeSystem], None]], ...] = (
        ("reloads of the functions' gateway", _reload_gateway),
        ("restarts of the operator", _restart_operator),
        ("reloads of the ingress", _reload_ingress),
        ("restarts of the activator", _restart_activator),
    )
    done: Counter[str] = Counter()
    with knative_system() as world:
        system = world.system
        key = system.key("bench")
        prepare(system, key)
        with Callers(system.functions_port, key, SHAPES, pause_s=0.04) as callers:
            waits = []
            for number in range(releases):
                if number % _EVERY == _EVERY - 1:
                    name, disturb = disturbances[number // _EVERY % len(disturbances)]
                    disturb(world)
                    done[name] += 1
                waits.append(take_turn(system, number))
                time.sleep(_BETWEEN_S)
        history = {name: history_of(system, name) for name in FUNCTIONS}
    say(report, callers.calls, waits, **{name.replace(" ", "_"): count for name, count in done.items()})
    stale = sum(call.good and not in_turn(call, history) for call in callers.calls if not call.shape.keep)
    missing = len({shape.name for shape in SHAPES} - {call.shape.name for call in callers.calls})
    report.checks += [
        Check.at_least("releases and rollbacks", len(waits), releases),
        Check.at_most(f"failed calls{_examples(callers)}", len(callers.failures), 0),
        Check.at_most("answers of a version that was not released, on new connections", stale, 0),
        Check.at_most("kinds of callers that never called", missing, 0),
        *(Check.at_least(name, done[name], releases // _EVERY // 4) for name, _ in disturbances),
    ]


def _examples(callers: Callers) -> str:
    """Return what a few failed calls saw, for whoever has to find out why."""
    seen = Counter(f"{call.status} {call.error} {call.body[:300]}".strip() for call in callers.failures)
    return f" ({'; '.join(f'{count}x {what}' for what, count in seen.most_common(3))})" if seen else ""


def _reload_gateway(world: KnativeSystem) -> None:
    os.kill(int(world.system.roles()["gateway"]["pid"]), signal.SIGUSR2)


def _reload_ingress(world: KnativeSystem) -> None:
    RuntimeSocket(str(world.plan.run / "gateway" / "ingress-master.sock"), timeout_s=20).ask("reload")


def _restart_operator(world: KnativeSystem) -> None:
    """Kill the operator as a crash does; the next one waits for the lease to end."""
    world.operator.kill(world.operator.processes[0])
    world.operator.start()


def _restart_activator(world: KnativeSystem) -> None:
    """Delete the activator's only pod; its Deployment makes another."""
    cluster = world.operator.cluster
    before = {pod["metadata"]["name"] for pod in cluster.list(POD, "knative-serving", "app=activator")}
    for name in before:
        cluster.delete(POD, "knative-serving", name)

    def replaced() -> bool:
        pods = cluster.list(POD, "knative-serving", "app=activator")
        return any(pod["metadata"]["name"] not in before for pod in pods)

    # Until there is another: that it is not ready yet when the next release comes is part of the test.
    wait_for(replaced, 30, 0.1)
