#!/usr/bin/env python3
"""Run a benchmark by name: `.venv/bin/python scripts/bench.py NAME [--json]`; `list` names them.

Each benchmark starts what it needs on ports of its own in a temporary folder
and measures Ingot and the peer in the same run. With `--world knative` it
releases into the cluster of this machine (`make cluster-up`), which must have
no other Ingot. Exit status 0 only if every check holds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.bench.report import Report

# World -> the package with its benchmarks.
WORLDS = {"embedded": "tests.bench", "knative": "tests.bench.knative"}


def names(world: str) -> dict[str, str]:
    """Return name -> first line of the module's docstring, for modules that have a `run`."""
    found = {}
    package = importlib.import_module(WORLDS[world])
    for module in pkgutil.iter_modules(package.__path__):
        loaded = importlib.import_module(f"{package.__name__}.{module.name}")
        if hasattr(loaded, "run"):
            found[module.name.replace("_", "-")] = (loaded.__doc__ or "").splitlines()[0]
    return found


def print_table(report: Report) -> None:
    """Print the report for a person."""
    facts = ", ".join(f"{key} {value}" for key, value in report.machine.items())
    print(f"{report.name}   ({facts})")
    for row in report.results:
        more = " ".join(f"{key}={value}" for key, value in row.more.items())
        print(
            f"  {row.side:<44} p50 {row.p50:>9.3f} ms  p95 {row.p95:>9.3f}  p99 {row.p99:>9.3f}  "
            f"max {row.max:>9.3f}  n {row.n:<6} errors {row.errors}  {more}"
        )
    for check in report.checks:
        print(f"  {'holds' if check.holds else 'FAILS'}  {check.what}: {check.value:g} (goal {check.goal})")


def main() -> int:
    """Run one benchmark and print its report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="a benchmark's name, or `list`")
    parser.add_argument("--world", choices=sorted(WORLDS), default="embedded", help="where functions run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a smoke test, no proof")
    chosen = parser.parse_args()
    known = names(chosen.world)
    if chosen.name == "list":
        for name, line in known.items():
            print(f"{name:<14} {line}")
        return 0
    if chosen.name not in known:
        print(f"There is no benchmark “{chosen.name}”. Known: {', '.join(known)}.", file=sys.stderr)
        return 2
    report = Report(chosen.name if chosen.world == "embedded" else f"{chosen.name} on {chosen.world}")
    report.begin()
    module = f"{WORLDS[chosen.world]}.{chosen.name.replace('-', '_')}"
    importlib.import_module(module).run(report, quick=chosen.quick)
    report.end()
    if chosen.json:
        print(json.dumps(report.document(), indent=1))
    else:
        print_table(report)
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
