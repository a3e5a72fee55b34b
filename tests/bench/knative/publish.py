"""Approved to ready and to the first good answer, in the cluster, with a base image that its node has."""

from __future__ import annotations

import time
from typing import Any

from tests.bench.functions import HELLO
from tests.bench.publish import until_callable
from tests.bench.report import Check, Report, Result
from tests.support.knative_system import knative_system
from tests.support.system import System

__all__ = ["run"]


def run(report: Report, *, quick: bool = False) -> None:
    """Publish a version after another of one function; the first brings the base image to the node."""
    rounds = 5 if quick else 30
    with knative_system() as world:
        key = world.system.key("bench")
        world.system.publish("report", HELLO, seconds=240)
        ready, callable_, errors = [], [], 0
        for number in range(rounds):
            # Each version differs by a comment, and is another image.
            files = {**HELLO, "main.py": HELLO["main.py"] + f"\n# {number}\n"}
            version = world.system.freeze("report", files)
            began, release = _approve_and_release(world.system, version)
            world.system.wait_live("report", release, 60)
            ready.append((time.perf_counter() - began) * 1000)
            latency, broken = until_callable(world.system, key, ("report", version["number"]), began)
            callable_.append(latency)
            errors += broken
    report.results += [
        Result.of("approve and release, until the release is live", ready),
        Result.of("approve and release, until the first good answer", callable_, errors),
    ]
    report.checks += [
        Check.at_most("approved to ready p95, ms", report.results[0].p95, 5_000),
        Check.is_true("every version became callable", errors == 0),
    ]


def _approve_and_release(system: System, version: dict[str, Any]) -> tuple[float, int]:
    """Return when the approval was sent, and the release's number."""
    asked = system.people["author"].call(
        "POST", "/functions/report/reviews", json={"version": version["number"]}
    )
    began = time.perf_counter()
    digest = {"digest": version["digest"]}
    system.people["reviewer"].call("POST", f"/reviews/{asked['id']}/approve", json=digest)
    body = {"version": version["number"]}
    made = system.people["owner"].call("POST", "/functions/report/releases", json=body)
    return began, int(made["number"])
