"""A failing canary goes back by itself, a healthy one grows, keys are rotated and bound: on a whole Ingot."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.system import System, running_system, wait_for

pytestmark = pytest.mark.slow

_TOML = "handler = 'main:execute'\n[limits]\nmemory_mb = 128\ninstances = 2\ntimeout_ms = 20000\n"
_GOOD = "def execute(input, context):\n    return {'version': %d}\n"
_BAD = "def execute(input, context):\n    raise RuntimeError('the new version cannot do it')\n"
_GUARD = {"error_percent": 10.0, "min_calls": 10, "window_s": 10}


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with running_system() as started:
        yield started


@pytest.fixture(scope="module")
def key(system: System) -> str:
    return system.key("guards")


def files(main: str) -> dict[str, str | bytes]:
    return {"ingot.toml": _TOML, "main.py": main}


def canary(system: System, name: str, guard: dict[str, Any], main: str, percent: int) -> dict[str, Any]:
    """Publish a first version, release a second one to a part of the calls, and return that release."""
    system.publish(name, files(_GOOD % 1))
    second = system.freeze(name, files(main))
    system.approve(name, second)
    body = {"version": second["number"], "percent": percent, "guard": guard}
    made = system.people["owner"].call("POST", f"/functions/{name}/releases", json=body)
    return system.wait_live(name, made["number"])


def status(system: System, name: str) -> Any:
    return system.people["owner"].call("GET", f"/functions/{name}/releases/status")


def call(system: System, name: str, key: str) -> httpx.Response:
    return httpx.post(system.url(name), json={}, headers={"X-Api-Key": key}, timeout=30)


def call_until(system: System, name: str, key: str, done: Any, seconds: float = 60) -> dict[str, int]:
    """Call without a pause until `done`; return how many calls had each status."""
    seen: dict[str, int] = {}
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"it did not happen within {seconds} s: {seen}"
        for _ in range(10):
            answer = call(system, name, key)
            seen[str(answer.status_code)] = seen.get(str(answer.status_code), 0) + 1
    return seen


def test_a_failing_canary_goes_back_by_itself_through_a_kill(system: System, key: str) -> None:
    broken = canary(system, "failing", _GUARD, _BAD, 50)
    system.wait_callable("failing", key)
    began = time.monotonic()
    seen = call_until(system, "failing", key, lambda: status(system, "failing")["newest"]["number"] > 2)
    decided = time.monotonic() - began
    system.kill("worker")
    back = system.wait_live("failing", broken["number"] + 1)
    took = time.monotonic() - began
    print(f"decided after {decided:.1f} s, rolled back after {took:.1f} s with a kill between; {seen}")
    assert seen["500"] >= 5
    assert (back["rollback_of"], back["created_by_name"]) == (1, "Ingot")
    assert "failed" in back["note"]
    assert [call(system, "failing", key).json() for _ in range(20)] == [{"version": 1}] * 20
    told = system.people["owner"].call("GET", f"/functions/failing/releases/{broken['number']}")
    guarded = next(one for one in told["conditions"] if one["type"] == "Guarded")
    assert (guarded["status"], guarded["reason"]) == (False, "error_rate")
    assert status(system, "failing")["newest"]["number"] == back["number"], "it acted once"


def test_a_healthy_canary_gets_all_calls_by_itself(system: System, key: str) -> None:
    guard = {**_GUARD, "steps": [50, 100], "step_s": 2}
    canary(system, "healthy", guard, _GOOD % 2, 30)
    system.wait_callable("healthy", key)
    began = time.monotonic()

    def grown() -> bool:
        live = status(system, "healthy")["live"]
        return [(part["number"], part["percent"]) for part in live["parts"]] == [(2, 100)]

    seen = call_until(system, "healthy", key, grown)
    print(f"at 100 % after {time.monotonic() - began:.1f} s; {seen}")
    assert set(seen) == {"200"}
    page = system.people["owner"].call("GET", "/functions/healthy/releases")
    assert [one["created_by_name"] for one in page["items"]] == ["Ingot", "Ingot", "Owner", "Owner"]


def test_a_key_is_rotated_bound_and_cut_without_a_restart(system: System, key: str) -> None:
    owner = system.people["owner"]
    system.publish("guarded", files(_GOOD % 1))
    made = owner.call("POST", "/projects/main/api-keys", json={"name": "rotated"})
    name, old = made["key"]["id"], made["text"]
    system.wait_callable("guarded", old)

    def code(text: str) -> str:
        answer = call(system, "guarded", text)
        return "" if answer.status_code == 200 else str(answer.json()["code"])

    new = owner.call("POST", f"/api-keys/{name}/rotate", json={"overlap_s": 600})["text"]
    wait_for(lambda: code(new) == "")
    assert code(old) == ""
    shown = wait_for(lambda: owner.call("GET", f"/api-keys/{name}"))
    assert shown["previous"]["hint"] in old
    owner.call("DELETE", f"/api-keys/{name}/previous")
    wait_for(lambda: code(old) == "key_unknown")
    assert code(new) == ""
    wait_for(lambda: owner.call("GET", f"/api-keys/{name}")["last_used_at"])

    def change(**body: Any) -> None:
        etag = owner.http.get(f"/api/v1/api-keys/{name}").headers["etag"]
        owner.call("PATCH", f"/api-keys/{name}", json=body, headers={"If-Match": etag})

    change(networks=["192.0.2.0/24", "2001:db8::/32"])
    wait_for(lambda: code(new) == "key_address")
    change(networks=["127.0.0.1"], modes=["stream"])
    wait_for(lambda: code(new) == "key_mode")
    change(modes=["sync"])
    wait_for(lambda: code(new) == "")
    owner.call("DELETE", f"/api-keys/{name}")
    wait_for(lambda: code(new) == "key_unknown")
    assert code(key) == ""
