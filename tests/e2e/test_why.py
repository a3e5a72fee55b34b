"""`ingot why` on a whole system: good, refused, crashed, cold and streamed calls, each on one screen."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.system import System, running_system, wait_for

pytestmark = pytest.mark.slow

_MAIN = """
import logging, os

log = logging.getLogger("till")


def execute(input, context):
    log.info("working for %s", input["name"])
    if input["name"] == "crash":
        os._exit(3)
    if input["name"] == "fail":
        raise ValueError("no such name")
    return {"hello": input["name"]}
"""
_STREAM = """
def execute(input, context):
    for number in range(3):
        yield {"number": number}
"""


class Watched:
    """A system with a function, a stream and a key, and what `ingot` says about calls."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.version = system.publish("till", {"ingot.toml": "", "main.py": _MAIN}).version
        system.publish("feed", {"ingot.toml": "streaming = true\n", "main.py": _STREAM})
        self.key = system.key("till key")
        system.wait_callable("feed", self.key)
        author = system.people["author"].http.headers["authorization"]
        self.token = str(author).removeprefix("Bearer ")

    def call(self, name: str, *, function: str = "till", key: str | None = None, **headers: str) -> Any:
        sent = {"X-Api-Key": self.key if key is None else key, **headers}
        return httpx.post(self.system.url(function), json={"name": name}, headers=sent, timeout=60)

    def ingot(self, *arguments: str, good: bool = True) -> str:
        environment = {
            **self.system.environment,
            "INGOT_URL": self.system.console,
            "INGOT_TOKEN": self.token,
            "INGOT_CONFIG_HOME": str(self.system.folder / "home"),
        }
        command = [sys.executable, "-m", "control_plane.cli.main", *arguments]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode == 0) is good, done.stdout + done.stderr
        return done.stdout if good else done.stderr

    def why(self, request: str, until: str = "") -> tuple[dict[str, Any], str]:
        """Return the one call's story, and the screen, once the meter and the host have told all."""

        def told() -> dict[str, Any] | None:
            answer = self.system.people["author"].http.get(f"/api/v1/why/{request}")
            if answer.status_code != 200:
                return None
            (story,) = answer.json()["calls"]
            return story if until in json.dumps(story) else None

        story = wait_for(told, 20, 0.1)
        return story, self.ingot("why", request)


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with running_system(INGOT_HOST_IDLE_TIMEOUT_S="1") as system:
        yield Watched(system)


def test_a_good_call_leads_from_its_key_to_who_approved_the_code(watched: Watched) -> None:
    watched.call("warm")
    answer = watched.call("ada", **{"X-Request-Id": "order-7"})
    assert answer.status_code == 200, answer.text
    story, screen = watched.why("order-7", until="working for ada")
    assert (story["call"]["outcome"], story["route"]) == ("answered", "acme/till")
    assert story["digest"] == watched.version["digest"]
    assert [part["name"] for part in story["waterfall"]][:2] == ["queue", "connect"]
    assert len(story["call"]["trace_id"]) == 32
    for part in ("till key", "reviewer@example.com", "working for ada", "billed", "release 1", "order-7"):
        assert part in screen, (part, screen)


def test_a_refused_call_names_its_rule(watched: Watched) -> None:
    answer = watched.call("ada", key="ingk_nobody")
    story, screen = watched.why(answer.headers["x-ingot-usage-id"])
    assert (story["call"]["refusal"], story["call"]["fault"]) == ("key_unknown", "caller")
    assert "refused, the caller's fault: status 401 key_unknown" in screen
    assert "to do     Look for it with `ingot key list`" in screen


def test_a_crash_is_the_authors_and_its_exit_says_so(watched: Watched) -> None:
    answer = watched.call("crash")
    assert answer.status_code == 502
    story, screen = watched.why(answer.headers["x-ingot-usage-id"], until='"crashed"')
    assert (story["call"]["outcome"], story["call"]["exit_reason"]) == ("failed", "crashed")
    assert "instance crashed" in screen
    assert "working for crash" in screen


def test_a_cold_call_shows_its_start_and_an_error_its_traceback(watched: Watched) -> None:
    # Until the instance has gone away by itself, calls are warm.
    def cold() -> Any:
        answer = watched.call("fail")
        assert answer.status_code == 500, answer.text
        story, screen = watched.why(answer.headers["x-ingot-usage-id"], until="no such name")
        return (story, screen) if story["call"]["cold"] else None

    story, screen = wait_for(cold, 40, 2.5)
    names = [part["name"] for part in story["waterfall"]]
    assert names == ["queue", "connect", "cold start", "function"]
    assert story["instance"]
    assert story["level"] in (1, 2)
    assert "activated at" in screen
    assert "ValueError" in screen


def test_a_stream_is_told_with_its_end(watched: Watched) -> None:
    answer = watched.call("ada", function="feed")
    assert answer.status_code == 200, answer.text
    story, screen = watched.why(answer.headers["x-ingot-usage-id"], until='"ended"')
    assert (story["call"]["mode"], story["call"]["outcome"]) == ("stream", "answered")
    assert "stream ended" in screen


def test_an_id_that_several_calls_carry_tells_of_each_and_an_unknown_one_of_none(watched: Watched) -> None:
    for name in ("ada", "grace"):
        watched.call(name, **{"X-Request-Id": "shared"})
    http = watched.system.people["author"].http
    wait_for(lambda: len(http.get("/api/v1/why/shared").json().get("calls", [])) == 2, 20, 0.1)
    assert watched.ingot("why", "shared").count("acme/till") == 2
    assert "No call with the request id" in watched.ingot("why", "nothing-of-the-kind", good=False)


def test_the_same_version_runs_again_and_the_monitor_has_seen_it_all(watched: Watched) -> None:
    usage = watched.call("ada").headers["x-ingot-usage-id"]
    watched.why(usage)
    done = json.loads(watched.ingot("-o", "json", "invocation", "rerun", usage, "--data", '{"name": "eve"}'))
    assert (done["status"], done["same"], done["digest"]) == (200, True, watched.version["digest"])
    series = json.loads(watched.ingot("-o", "json", "monitor", "functions", "till"))["items"][0]["points"]
    assert sum(point["calls"] for point in series) >= 6
    assert sum(point["cold_starts"] for point in series) >= 1
    assert sum(point["author_faults"] for point in series) >= 1
    owner = watched.system.people["owner"]

    def newest() -> Any:
        # The first sample may be older than the gateway.
        points = owner.call("GET", "/monitor/system")["points"]
        return points and points[-1]["connections"] is not None and points[-1]

    point = wait_for(newest, 30, 0.5)
    assert point["memory_total_mb"] > 0
    assert point["instances"] is not None
    assert point["lease_s"] > 0
    scraped = owner.http.get("/metrics").text
    for name in ("ingot_function_duration_seconds_bucket", "ingot_meter_lag_lines", "ingot_gateway_sessions"):
        assert name in scraped
    assert owner.http.get("/readyz").text.startswith("ready: control database, usage database")
