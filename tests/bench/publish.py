"""Approved to callable; and the first freeze with real dependencies, phase by phase."""

from __future__ import annotations

import time

import httpx

from tests.bench.functions import PANDAS
from tests.bench.report import Check, Report, Result
from tests.support.system import System, running_system

__all__ = ["run", "until_callable"]


def run(report: Report, *, quick: bool = False) -> None:
    """Freeze with cold and with cached dependencies, then publish over and over."""
    rounds = 5 if quick else 40
    with running_system() as system:
        key = system.key("bench")
        _first_freeze(report, system)
        latencies, errors = [], 0
        for number in range(rounds):
            # Each version differs by a comment; the dependencies come from the cache.
            files = {**PANDAS, "main.py": PANDAS["main.py"] + f"\n# {number}\n"}
            version = system.freeze("report", files)
            asked = system.people["author"].call(
                "POST", "/functions/report/reviews", json={"version": version["number"]}
            )
            began = time.perf_counter()
            digest = {"digest": version["digest"]}
            system.people["reviewer"].call("POST", f"/reviews/{asked['id']}/approve", json=digest)
            system.people["owner"].call(
                "POST", "/functions/report/releases", json={"version": version["number"]}
            )
            latency, broken = until_callable(system, key, ("report", version["number"]), began)
            latencies.append(latency)
            errors += broken
    result = Result.of("approve, release, first good answer of the new version", latencies, errors)
    report.results.append(result)
    report.checks += [
        Check.at_most("approved to callable p95, ms", result.p95, 1000),
        Check.is_true("every version became callable", errors == 0),
    ]


def _first_freeze(report: Report, system: System) -> None:
    for side, files in (("first freeze, nothing cached", PANDAS), ("next freeze, dependencies cached", None)):
        changed = files or {**PANDAS, "main.py": PANDAS["main.py"] + "\n# cached\n"}
        began = time.perf_counter()
        version = system.freeze("report", changed)
        seconds = time.perf_counter() - began
        phases = {name: round(value, 1) for name, value in version.get("phases", {}).items()}
        report.results.append(Result.of(f"pandas and numpy, {side}", [seconds * 1000], **phases))


def until_callable(system: System, key: str, version: tuple[str, int], began: float) -> tuple[float, int]:
    """Call (function, number) until it answers; return the milliseconds, and 1 if it never did."""
    url, headers = f"{system.url(version[0])}@{version[1]}", {"X-Api-Key": key}
    with httpx.Client(headers=headers, timeout=30) as client:
        while time.perf_counter() - began < 30:
            if client.post(url, json={}).status_code == 200:
                return (time.perf_counter() - began) * 1000, 0
            time.sleep(0.002)
    return (time.perf_counter() - began) * 1000, 1
