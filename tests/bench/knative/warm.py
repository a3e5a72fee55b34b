"""A warm call through the gateway and queue-proxy, beside the pod's own container called directly."""

from __future__ import annotations

from typing import Final

from tests.bench.functions import HELLO
from tests.bench.load import Load, request
from tests.bench.report import Check, Report, Result, percentile
from tests.support.knative_system import KnativeSystem, knative_system
from tests.support.system import wait_for

__all__ = ["run"]

_BODY: Final = b'{"name":"a"}'
_JSON: Final = {"Content-Type": "application/json"}
# Short rounds in turn, so that both sides see the same machine.
_ROUNDS, _CALLS = 45, 300


def run(report: Report, *, quick: bool = False) -> None:
    """Measure both sides with one client in turn."""
    with knative_system() as world:
        key = world.system.key("bench")
        world.system.publish("hello", HELLO, seconds=240)
        world.system.wait_callable("hello", key)
        message = request("/acme/hello", _BODY, {**_JSON, "X-Api-Key": key})
        gateway = Load(("127.0.0.1", world.system.functions_port), lambda _: message)
        # The first calls may still pass the activator.
        gateway.run(calls=200)
        _measure(report, world, gateway, 60 if quick else _CALLS)


def _measure(report: Report, world: KnativeSystem, gateway: Load, calls: int) -> None:
    direct_message = request("/", _BODY, _JSON)
    direct = Load((_pod(world), 8080), lambda _: direct_message)
    direct.run(calls=200)
    sides = {"direct": direct, "gateway": gateway}
    seen: dict[str, list[float]] = {side: [] for side in sides}
    added: dict[float, list[float]] = {0.5: [], 0.95: []}
    errors = dict.fromkeys(sides, 0)
    for _ in range(_ROUNDS):
        outcomes = {side: load.run(calls=calls) for side, load in sides.items()}
        for side, outcome in outcomes.items():
            seen[side] += outcome.latencies_ms
            errors[side] += outcome.failures
        for share, values in added.items():
            over, under = (percentile(outcomes[side].latencies_ms, share) for side in ("gateway", "direct"))
            values.append(over - under)
    report.results += [
        Result.of("Ingot, the pod's own container", seen["direct"], errors["direct"]),
        Result.of("Ingot, gateway with a key and queue-proxy", seen["gateway"], errors["gateway"]),
    ]
    report.checks += [
        # The median round: one disturbed round on a shared machine is no property of the gateway.
        Check.at_most("added at p50, ms", percentile(added[0.5], 0.5), 1.5),
        Check.is_true("every call was answered", not any(errors.values())),
    ]


def _pod(world: KnativeSystem) -> str:
    """Return the address of the one pod that serves."""

    def serving() -> str:
        addresses = [
            str(pod["status"].get("podIP", ""))
            for pod in world.pods(world.namespace)
            if not pod["metadata"].get("deletionTimestamp")
        ]
        return addresses[0] if len(addresses) == 1 else ""

    return str(wait_for(serving, 60, 0.1))
