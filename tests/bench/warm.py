"""A warm call: what the gateway adds and costs; beside a framework and a proxy in Python.

The function has an instance for each client, so that nobody queues; what
queueing for too few instances costs the gateway is a row of its own.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench.functions import HELLO, run_folder, target_of
from tests.bench.load import Load, Outcome, request
from tests.bench.peers import FLASK_PROXY, FUNCTIONS_FRAMEWORK, running
from tests.bench.processes import cpu_seconds, descendants
from tests.bench.report import Check, Report, Result, percentile
from tests.support.system import System, running_system

__all__ = ["run"]

_BODY = b'{"name":"a"}'
_JSON = {"Content-Type": "application/json"}
# An instance for each of the eight clients.
_WIDE = "handler = 'main:execute'\n[limits]\nmemory_mb = 128\ninstances = 8\n"
# Short rounds in turn, so that the direct socket and the gateway see the same machine; and windows of a load.
_ROUNDS, _CALLS = 45, 300
_WINDOWS = 9


def run(report: Report, *, quick: bool = False) -> None:
    """Measure latency with one client, then throughput and processor time with eight."""
    calls = 200 if quick else 1_500
    with running_system() as system:
        key = system.key("bench")
        system.publish("hello", {**HELLO, "ingot.toml": _WIDE})
        system.publish("narrow", HELLO)
        system.wait_callable("hello", key)
        system.wait_callable("narrow", key)
        seconds = 3.0 if quick else 18.0
        _latency(report, system, key, 60 if quick else _CALLS)
        row = _throughput(report, system, key, "hello", seconds)
        _throughput(report, system, key, "narrow", seconds)
    report.checks += [
        Check.at_most("gateway CPU per call, µs", row.more["gateway_cpu_us"], 80),
        Check.at_least("calls per second", row.more["calls_per_s"], 4_000),
        Check.is_true("every call was answered", not any(result.errors for result in report.results)),
    ]
    _peers(report, calls)


def _latency(report: Report, system: System, key: str, calls: int) -> None:
    direct_path = f"{run_folder(system)}/fn/{target_of(system, 'hello')}.sock"
    direct_message = request("/", _BODY, _JSON)
    direct = Load(direct_path, lambda _: direct_message)
    gateway = _through_gateway(system, key, 1)
    direct.run(calls=50)
    gateway.run(calls=50)
    seen: dict[str, list[float]] = {"direct": [], "gateway": []}
    added: dict[float, list[float]] = {0.5: [], 0.99: []}
    errors = 0
    for _ in range(_ROUNDS):
        outcomes = {"direct": direct.run(calls=calls), "gateway": gateway.run(calls=calls)}
        for side, outcome in outcomes.items():
            seen[side] += outcome.latencies_ms
            errors += outcome.failures
        for share, values in added.items():
            over, under = (percentile(outcomes[side].latencies_ms, share) for side in ("gateway", "direct"))
            values.append((over - under) * 1000)
    report.results.append(Result.of("Ingot, the function's own socket", seen["direct"]))
    report.results.append(Result.of("Ingot, through the gateway with a key", seen["gateway"], errors))
    # The median round: one disturbed round on a shared machine is no property of the gateway.
    report.checks.append(Check.at_most("added at p50, µs", percentile(added[0.5], 0.5), 150))
    report.checks.append(Check.at_most("added at p99, µs", percentile(added[0.99], 0.5), 500))


def _throughput(report: Report, system: System, key: str, name: str, seconds: float) -> Result:
    gateway = descendants(int(system.roles()["gateway"]["pid"]))
    load = _through_gateway(system, key, 8, name)
    load.run(seconds=1.5)
    # The median window, like the median round: a shared machine disturbs some.
    windows: list[tuple[float, Outcome]] = []
    for _ in range(_WINDOWS):
        before = cpu_seconds(gateway)
        outcome = load.run(seconds=seconds / _WINDOWS)
        windows.append(((cpu_seconds(gateway) - before) * 1e6 / max(1, len(outcome.latencies_ms)), outcome))
    spent_us = percentile([spent for spent, _ in windows], 0.5)
    rate = percentile([len(one.latencies_ms) / one.seconds for _, one in windows], 0.5)
    latencies = [latency for _, one in windows for latency in one.latencies_ms]
    instances = "an instance for each" if name == "hello" else "two instances"
    result = Result.of(
        f"Ingot, 8 keep-alive clients, {instances}",
        latencies,
        sum(one.failures for _, one in windows),
        calls_per_s=round(rate),
        gateway_cpu_us=round(spent_us, 1),
    )
    report.results.append(result)
    return result


def _peers(report: Report, calls: int) -> None:
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        framework, _ = stack.enter_context(running(FUNCTIONS_FRAMEWORK, folders[0]))
        proxy, _ = stack.enter_context(running(FLASK_PROXY, folders[1], f"http://127.0.0.1:{framework}"))
        for port, side in ((framework, FUNCTIONS_FRAMEWORK), (proxy, FLASK_PROXY)):
            message = request("/", _BODY, {**_JSON, "X-Api-Key": "secret"})
            for clients in (1, 8):
                load = Load(("127.0.0.1", port), lambda _, message=message: message, clients=clients)  # type: ignore[misc]
                load.run(calls=50)
                outcome: Outcome = load.run(calls=calls)
                report.results.append(
                    Result.of(
                        f"{side.name}, {clients} client{'s' if clients > 1 else ''}",
                        outcome.latencies_ms,
                        outcome.failures,
                        calls_per_s=round(len(outcome.latencies_ms) / outcome.seconds),
                        runs=side.versions,
                    )
                )


def _through_gateway(system: System, key: str, clients: int, name: str = "hello") -> Load:
    message = request(f"/acme/{name}", _BODY, {**_JSON, "X-Api-Key": key})
    return Load(("127.0.0.1", system.functions_port), lambda _: message, clients=clients)
