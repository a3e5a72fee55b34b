"""First call to an idle function, through the gateway, sandboxed; beside two frameworks' starts."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from tests.bench.functions import HELLO, PANDAS, make_idle, target_of, template_ready
from tests.bench.load import Load, Outcome, request
from tests.bench.peers import FUNC_PYTHON, FUNCTIONS_FRAMEWORK, Peer, running
from tests.bench.report import Check, Report, Result
from tests.support.system import System, running_system, wait_for

__all__ = ["cold_calls", "run"]

_BODY = b'{"name":"a"}'
_BURST = 50
_PAUSE_S = 0.05


def run(report: Report, *, quick: bool = False) -> None:
    """Measure level 2, level 1, pandas and a burst; then the peers."""
    calls = 30 if quick else 300
    with running_system() as system:
        key = system.key("bench")
        hot = _row(report, system, key, "level-2 template hot", ("hello", HELLO), calls, warm=True)
        pandas = _row(
            report, system, key, "numpy and pandas, template hot", ("pandas", PANDAS), calls, warm=True
        )
        burst = _burst(report, system, key)
    with running_system(INGOT_HOST_LEVEL2_TEMPLATES="0") as system:
        key = system.key("bench")
        level1 = _row(report, system, key, "level-1 only, no imports", ("hello", HELLO), calls)
        _row(report, system, key, "numpy and pandas, level-1 only", ("pandas", PANDAS), max(10, calls // 10))
    report.checks += [
        Check.at_most("level-2 hot p95, ms", hot.p95, 25),
        Check.at_most("level-1 p95, ms", level1.p95, 35),
        Check.at_most("numpy and pandas, template hot p95, ms", pandas.p95, 60),
        Check.at_most("burst of 50 cold functions p95, ms", burst.p95, 500),
        Check.is_true("every call was answered", not any(row.errors for row in report.results)),
    ]
    for peer, factor in ((FUNCTIONS_FRAMEWORK, 30), (FUNC_PYTHON, 10)):
        row = _peer(report, peer, 5 if quick else 20)
        report.checks.append(Check.at_least(f"times faster than {peer.name}, p50", row.p50 / hot.p50, factor))


def _row(
    report: Report,
    system: System,
    key: str,
    side: str,
    function: tuple[str, Mapping[str, str]],
    calls: int,
    *,
    warm: bool = False,
) -> Result:
    name, files = function
    system.publish(name, files)
    system.wait_callable(name, key)
    target = target_of(system, name)
    if warm:
        wait_for(lambda: template_ready(system, target), 120, 0.05)
    outcome = cold_calls(system, name, key, calls)
    result = Result.of(f"Ingot, {side}", outcome.latencies_ms, outcome.failures)
    report.results.append(result)
    return result


def cold_calls(system: System, name: str, key: str, calls: int) -> Outcome:
    """Call a function that has no instance, over and over."""
    target, total = target_of(system, name), Outcome()
    for _ in range(calls):
        make_idle(system, target)
        # A function that is called a moment after it went idle finds the kernel awake for it; most do not.
        time.sleep(_PAUSE_S)
        outcome = _call(system, name, key)
        total.latencies_ms += outcome.latencies_ms
        total.statuses += outcome.statuses
        total.broken += outcome.broken
    return total


def _call(system: System, name: str, key: str) -> Outcome:
    message = request(f"/acme/{name}", _BODY, {"X-Api-Key": key, "Content-Type": "application/json"})
    return Load(("127.0.0.1", system.functions_port), lambda _: message).run(calls=1)


def _burst(report: Report, system: System, key: str) -> Result:
    names = [f"burst-{number}" for number in range(_BURST)]
    for name in names:
        system.publish(name, HELLO)
        system.wait_callable(name, key)
    for name in names:
        make_idle(system, target_of(system, name))
    outcomes: list[Outcome] = []
    ready = threading.Barrier(_BURST)

    def one(name: str) -> None:
        ready.wait()
        outcomes.append(_call(system, name, key))

    threads = [threading.Thread(target=one, args=(name,)) for name in names]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latencies = [latency for outcome in outcomes for latency in outcome.latencies_ms]
    errors = sum(outcome.failures for outcome in outcomes)
    seconds = round(time.perf_counter() - began, 3)
    result = Result.of(
        "Ingot, 50 different cold functions at once", latencies, errors, all_answered_s=seconds
    )
    report.results.append(result)
    return result


def _peer(report: Report, peer: Peer, starts: int) -> Result:
    latencies = []
    for _ in range(starts):
        with tempfile.TemporaryDirectory() as folder, running(peer, Path(folder)) as (_, seconds):
            latencies.append(seconds * 1000)
    result = Result.of(f"{peer.name}, process start to first answer", latencies, 0, runs=peer.versions)
    report.results.append(result)
    return result
