"""Releases and keys over HTTP: ETags, plans, tags, guards, pages and last use."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from control_plane.store.tenant_wall import EVERYONE, reaching
from control_plane.store.usage_tables import HOURLY_SUMS, usage_hourly
from tests.support.api import ApiWorld, Person
from tests.support.api_fixtures import ApiPeople

HOUR = 1_780_272_000_000


@pytest.fixture
def operator(api: ApiWorld, people: ApiPeople) -> Person:
    """Two approved versions, the first one live."""
    world = api.world
    for number in (1, 2):
        version = world.frozen(people.author, text=f"x = {number}\n")
        world.approved(people.author, people.reviewer, version)
        if number == 1:
            world.released(people.operator, version)
    return api.person(people.operator)


def seen(etag: str) -> dict[str, str]:
    return {"headers": {"If-Match": f'"{etag}"'}}  # type: ignore[dict-item]


def test_a_plan_says_what_would_change_and_its_etag_guards_the_release(
    api: ApiWorld, operator: Person
) -> None:
    body = {"version": 2, "percent": 10, "guard": {"error_percent": 5, "min_calls": 10}, "note": "try"}
    plan = operator.post("/functions/orders/releases/plan", body).json
    assert (plan["live"], plan["etag"], plan["refusals"]) == (1, "r1", [])
    assert {"kind": "share", "name": "version 2", "before": "", "after": "10 %"} in plan["changes"]
    assert [one["reason"] for one in plan["approvals"]] == ["was_live", "approved"]
    assert plan["guard"]["back_to"] == 1
    made = operator.post("/functions/orders/releases", {**body, "expect": plan["digest"]}, **seen("r1"))
    assert (made.status_code, made.json["number"], made.json["note"]) == (202, 2, "try")
    assert made.json["created_by_name"] == "omar"
    late = operator.post("/functions/orders/releases", {"version": 1}, **seen("r1"))
    assert (late.status_code, late.json["code"]) == (412, "release_moved")
    assert [one["pointer"] for one in late.json["errors"]] == ["/live", "/pending"]
    wrong = operator.post("/functions/orders/releases/rollback", {}, **seen("r1"))
    assert wrong.json["code"] == "release_moved"
    status = operator.get("/functions/orders/releases/status")
    assert (status.headers["ETag"], status.json["pending"]["number"]) == ('"r2"', 2)


@pytest.mark.parametrize(
    "guard",
    [{}, {"error_percent": -1}, {"p95_ms": 9, "steps": [50]}, {"error_percent": 1, "version": 9}, {"x": 1}],
)
def test_a_guard_that_means_nothing_is_refused(operator: Person, guard: dict[str, Any]) -> None:
    answer = operator.post("/functions/orders/releases", {"version": 2, "guard": guard})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid")


def test_a_guard_is_changed_by_who_saw_the_release(operator: Person) -> None:
    path = "/functions/orders/releases/1"
    etag = operator.get(path).headers["ETag"].strip('"')
    assert operator.put(f"{path}/guard", {"p95_ms": 100}).json["code"] == "precondition_required"
    set_to = operator.put(f"{path}/guard", {"p95_ms": 100}, **seen(etag))
    assert (set_to.status_code, set_to.json["guard"]["p95_ms"]) == (200, 100)
    assert set_to.json["watched_until"]
    stale = operator.put(f"{path}/guard", {"p95_ms": 200}, **seen(etag))
    assert (stale.status_code, stale.json["code"]) == (412, "precondition_failed")
    off = operator.delete(f"{path}/guard", **seen(set_to.headers["ETag"].strip('"')))
    assert (off.json["guard"], off.json["watched_until"]) == (None, None)


def test_tags_are_set_listed_and_removed(api: ApiWorld, operator: Person) -> None:
    assert operator.put("/functions/orders/tags/next", {"version": 2}).status_code == 428
    made = operator.put("/functions/orders/tags/next", {"version": 2, "note": "look"}, **seen("r1"))
    assert (made.status_code, made.json["note"]) == (202, "look")
    api.world.settle()
    tags = operator.get("/functions/orders/tags").json["items"]
    assert [(one["tag"], one["number"], one["percent"]) for one in tags] == [("next", 2, 0)]
    gone = operator.delete("/functions/orders/tags/next", **seen("r2"))
    assert [part["tag"] for part in gone.json["parts"]] == [""]
    api.world.settle()
    absent = operator.delete("/functions/orders/tags/next", **seen("r3"))
    assert (absent.status_code, absent.json["code"]) == (409, "conflict")


def test_the_history_comes_in_pages(api: ApiWorld, operator: Person) -> None:
    for number in (2, 1, 2):
        operator.post("/functions/orders/releases", {"version": number, "note": f"why {number}"})
        api.world.settle()
    first = operator.get("/functions/orders/releases?limit=3").json
    second = operator.get(f"/functions/orders/releases?limit=3&cursor={first['next_cursor']}").json
    assert [one["number"] for one in first["items"] + second["items"]] == [4, 3, 2, 1]
    assert second["next_cursor"] is None
    assert (first["items"][0]["note"], first["items"][0]["created_by_name"]) == ("why 2", "omar")


def test_a_rollback_says_beforehand_which_values_it_uses(api: ApiWorld, operator: Person) -> None:
    operator.post("/functions/orders/releases", {"version": 2})
    api.world.settle()
    plan = operator.post("/functions/orders/releases/rollback/plan", {}).json
    assert [part["number"] for part in plan["parts"]] == [1]
    assert plan["parts"][0]["settings"] == {}
    assert {one["kind"] for one in plan["changes"]} == {"share"}
    back = operator.post("/functions/orders/releases/rollback", {"note": "slow"}, **seen(plan["etag"]))
    assert back.json["note"] == "Rollback, values of release 1: slow"


def test_a_key_is_rotated_changed_and_shown_with_its_last_use(
    api: ApiWorld, people: ApiPeople, operator: Person
) -> None:
    body = {"name": "shop", "modes": ["sync"], "networks": ["192.0.2.9"], "functions": ["orders"]}
    made = operator.post("/projects/main/api-keys", body).json
    path = f"/api-keys/{made['key']['id']}"
    assert (made["key"]["modes"], made["key"]["networks"]) == (["sync"], ["192.0.2.9/32"])
    keep = {"headers": {"Idempotency-Key": "once"}}
    first = operator.post(f"{path}/rotate", {"overlap_s": 60}, **keep)
    again = operator.post(f"{path}/rotate", {"overlap_s": 60}, **keep)
    assert (first.json["text"], again.headers["Idempotency-Replayed"]) == (again.json["text"], "true")
    shown = operator.get(path)
    assert shown.headers["ETag"] == '"k2"'
    assert shown.json["previous"]["hint"] == made["key"]["hint"]
    assert made["text"] not in shown.text
    assert operator.send("PATCH", path, json={"name": "x"}).status_code == 428
    changed = operator.send("PATCH", path, json={"name": "store", "modes": []}, **seen("k2"))
    assert (changed.json["name"], changed.json["modes"], changed.headers["ETag"]) == ("store", [], '"k3"')
    assert operator.send("PATCH", path, json={"name": "x"}, **seen("k2")).status_code == 412
    assert operator.send("PATCH", path, json={"networks": ["x"]}, **seen("k3")).status_code == 422
    assert operator.delete(f"{path}/previous").json["previous"] is None
    with reaching(api.usage, EVERYONE).begin() as connection:
        sums = dict.fromkeys(HOURLY_SUMS, 1)
        for hour in (HOUR, HOUR + 3_600_000):
            row = dict.fromkeys(("organization", "project", "function", "version", "outcome"), "x")
            row["organization"] = people.operator.organization
            named = {**row, "api_key": made["key"]["id"], "hour_ms": hour, **sums}
            connection.execute(insert(usage_hourly).values(**named))
    operator.post("/projects/main/api-keys", {"name": "unused"})
    listed = operator.get("/projects/main/api-keys").json["items"]
    assert [(one["name"], bool(one["last_used_at"])) for one in listed] == [
        ("unused", False),
        ("store", True),
    ]
    assert listed[1]["last_used_at"] == "2026-06-01T01:00:00.000Z"
