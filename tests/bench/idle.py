"""A thousand released, idle functions: memory, cold start beside one function's, start-up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.bench.cold_start import cold_calls
from tests.bench.functions import HELLO, ask_host
from tests.bench.processes import descendants, pss_mb
from tests.bench.report import Check, Report, Result, percentile
from tests.support.system import System, running_system, wait_for

__all__ = ["run"]


def run(report: Report, *, quick: bool = False) -> None:
    """Measure with one function, then with a thousand, then restart with them."""
    functions, calls = (50, 20) if quick else (1_000, 200)
    # Without level-2 templates: their memory is shown apart.
    with running_system(INGOT_HOST_LEVEL2_TEMPLATES="0") as system:
        key = system.key("bench")
        system.publish("idle-0", HELLO)
        system.wait_callable("idle-0", key)
        one = cold_calls(system, "idle-0", key, calls)
        before = _settled_mb(system)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: system.publish(f"idle-{number}", HELLO), range(1, functions)))
        wait_for(lambda: not _instances(system), 180, 0.2)
        many = cold_calls(system, f"idle-{functions // 2}", key, calls)
        wait_for(lambda: not _instances(system), 180, 0.2)
        added = _settled_mb(system) - before
        system.stop()
        seconds = system.start(120)
        system.wait_callable(f"idle-{functions - 1}", key)
    rows = (
        Result.of("cold start beside no other function", one.latencies_ms, one.failures),
        Result.of(f"cold start beside {functions} idle functions", many.latencies_ms, many.failures),
        Result.of(f"start-up of everything with {functions} functions", [seconds * 1000]),
    )
    report.results += rows
    ratio = percentile(many.latencies_ms, 0.5) / percentile(one.latencies_ms, 0.5)
    report.checks += [
        Check.at_most(f"memory that {functions} idle functions add, MB", added, 80),
        Check.at_most("cold start beside them, times one function's (p50)", ratio, 1.5),
        Check.at_most("start-up of the whole system, s", seconds, 20),
        Check.is_true("every call was answered", not one.failures and not many.failures),
    ]
    _templates(report, quick)


def _templates(report: Report, quick: bool) -> None:
    """Show what a cached level-2 template costs."""
    count = 3 if quick else 10
    with running_system() as system:
        for number in range(count):
            system.publish(f"warm-{number}", HELLO)
        wait_for(lambda: len(_templates_mb(system)) >= count, 60, 0.1)
        sizes = _templates_mb(system)
    row = Result.of("memory of a cached level-2 template, MB instead of ms", sizes)
    report.results.append(row)


def _templates_mb(system: System) -> list[float]:
    templates = ask_host(system, "status")["templates"]
    return [one["memory_mb"] for one in templates if one["level"] == 2 and one["state"] == "ready"]


def _instances(system: System) -> int:
    return sum(len(target["instances"]) for target in ask_host(system, "status")["targets"].values())


def _settled_mb(system: System) -> float:
    assert system.process is not None
    return pss_mb(descendants(system.process.pid))
