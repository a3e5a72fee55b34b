"""The running API keeps what its own description says: every check, every phase, as an owner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.schemathesis_hooks import CONFIG
from tests.support.system import System, running_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_HELLO = {
    "main.py": "def execute(input, context):\n    return {'hello': 'you'}\n",
    "ingot.toml": 'handler = "main:execute"\n',
}
# Without these, whatever comes after them would be tried without a credential.
_ENDS_THE_TOKEN = ("DELETE /api/v1/tokens/{token}",)
# An answer without an end; tests/api/test_event_stream.py.
_ENDLESS = ("/api/v1/stream",)
_CHECKS = {
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
    "object_level_authorization",
}
# The nouns that lead to each other, by the paths of their routes. Each is tried by itself, as a walk over
# all routes at once hardly ever takes two steps in a row. What takes functions and people away comes last.
_CHAINS = {
    "releases": r"^/api/v1/functions(/\{function\}/(draft|versions|releases.*|tags.*))?$",
    "reviews": r"^/api/v1/(functions(/\{function\}/(draft|versions|reviews))?|reviews.*)$",
    "sharing": r"^/api/v1/(functions/\{function\}/(versions|shares|previews.*)|shares.*|market.*|files.*)$",
    "calls": r"^/api/v1/(invocations.*|why.*|starters.*|functions/\{function\}/draft/test-runs.*)$",
    "places": r"^/api/v1/(projects.*|departments.*|organizations.*|members.*|roles|api-keys.*)$",
    "authoring": r"^/api/v1/functions(/\{function\}(/(draft|versions).*)?)?$",
}
# Here a new function, which has no code, would only stand before the one that has.
_OF_WHAT_IS_THERE = {"releases", "reviews"}
# Each of these must have answered well after a link led there: the way from a draft to a release,
# and from a project to a key.
_STEPS = {
    "GET /api/v1/functions/{function}/draft",
    "POST /api/v1/functions/{function}/versions",
    "GET /api/v1/reviews/{review}",
    "GET /api/v1/projects/{project}/api-keys",
}


@dataclass
class Tried:
    """What one run of the tool did."""

    # Operation -> how often it was answered with which status.
    answers: dict[str, Counter[int]] = field(default_factory=dict)
    # Operation -> how often a link led to it, and was answered with success.
    reached: Counter[str] = field(default_factory=Counter)
    checks: set[str] = field(default_factory=set)
    phases: set[str] = field(default_factory=set)

    def add(self, other: Tried) -> None:
        """Count what another run did too."""
        for name, answers in other.answers.items():
            self.answers.setdefault(name, Counter()).update(answers)
        self.reached.update(other.reached)
        self.checks |= other.checks
        self.phases |= other.phases


def try_it(system: System, *options: str) -> Tried:
    """Run schemathesis and return what it did; AssertionError with what it found."""
    events = system.folder / "tried.ndjson"
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        str(CONFIG),
        "run",
        f"{system.console}/api/v1/openapi.json",
        "--seed=1",
        "--no-color",
        "--continue-on-failure",
        "--report=ndjson",
        f"--report-ndjson-path={events}",
        f"--header=Authorization: {system.people['owner'].http.headers['authorization']}",
        *(f"--exclude-path={path}" for path in _ENDLESS),
        *(f"--exclude-name={name}" for name in _ENDS_THE_TOKEN),
        *options,
    ]
    environment = {
        **os.environ,
        "COLUMNS": "120",
        "PYTHONPATH": str(CONFIG.parents[2]),
        "SCHEMATHESIS_HOOKS": "tests.e2e.schemathesis_hooks",
    }
    # It leaves its database of examples where it runs.
    done = subprocess.run(
        command, cwd=system.folder, env=environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    found = [place for title in ("= FAILURES =", "= ERRORS =") if (place := done.stdout.find(title)) >= 0]
    report = (done.stdout[min(found) :][:8000] if found else "") + done.stdout[-1500:] + done.stderr[-1500:]
    assert done.returncode == 0, report
    return read(events)


def read(events: Path) -> Tried:
    """Return what the tool's own record says that it did."""
    tried = Tried()
    for scenario in scenarios(events):
        tried.phases.add(scenario["phase"])
        recorder = scenario["recorder"]
        for number, case in recorder.get("cases", {}).items():
            name = f"{case['value']['method']} {case['value']['path']}"
            answer = recorder["interactions"].get(number, {}).get("response") or {}
            status = int(answer.get("status_code", 0))
            tried.answers.setdefault(name, Counter())[status] += 1
            if case.get("is_transition_applied") and 200 <= status < 300:
                tried.reached[name] += 1
        for checks in recorder.get("checks", {}).values():
            tried.checks.update(check["name"] for check in checks)
    return tried


def scenarios(events: Path) -> Iterator[dict[str, Any]]:
    for line in events.read_text("utf-8").splitlines():
        event = json.loads(line)
        if "ScenarioFinished" in event:
            yield event["ScenarioFinished"]


def operations(system: System) -> set[str]:
    """Return the operations that the document describes and that are to be tried."""
    paths = httpx.get(f"{system.console}/api/v1/openapi.json").json()["paths"]
    every = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    return every - set(_ENDS_THE_TOKEN) - {f"GET {path}" for path in _ENDLESS}


def prepare(system: System) -> None:
    """Leave something of each kind to be found: a live function that was called, and a file."""
    system.publish("hello", _HELLO)
    key = system.key()
    system.wait_callable("hello", key)
    for _ in range(3):
        assert httpx.post(system.url("hello"), json={}, headers={"X-Api-Key": key}).is_success
    system.people["owner"].call("POST", "/files", json={"project": "main", "name": "a.csv", "size": 3})


def check_log(system: System) -> None:
    written = (system.data / "logs" / "api.log").read_text("utf-8")
    assert '"unhandled error"' not in written
    assert "Traceback" not in written


def test_the_running_api_keeps_its_description() -> None:
    with running_system() as system:
        prepare(system)
        chained = Tried()
        for name, paths in _CHAINS.items():
            options = ["--phases=stateful", "--max-examples=10", f"--include-path-regex={paths}"]
            if name in _OF_WHAT_IS_THERE:
                options.append("--exclude-name=POST /api/v1/functions")
            one = try_it(system, *options)
            assert one.phases == {"stateful"}, name
            chained.add(one)
        each = try_it(system, "--phases=coverage,fuzzing", "--max-examples=3")
        check_log(system)
        wanted = operations(system)
    assert each.phases == {"coverage", "fuzzing"}
    assert each.checks >= _CHECKS
    assert set(each.answers) >= wanted
    assert chained.checks >= _CHECKS
    assert chained.reached.total() >= 150, chained.reached
    assert len(chained.reached) >= 20, chained.reached
    assert set(chained.reached) >= _STEPS, chained.reached
    # What is only ever refused is tried in vain.
    chained.add(each)
    succeeded = {
        name for name, answers in chained.answers.items() if any(200 <= one < 300 for one in answers)
    }
    assert len(succeeded) >= len(wanted) / 2, sorted(wanted - succeeded)
