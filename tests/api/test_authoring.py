"""Functions, draft files, test runs, versions and packages over HTTP."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.support.api import ApiWorld, Person
from tests.support.api_fixtures import ApiPeople


@pytest.fixture
def author(api: ApiWorld, people: ApiPeople) -> Person:
    api.world.drafted(people.author)
    return api.person(people.author)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def edit(author: Person, *changes: dict[str, str], if_match: str = "") -> Any:
    tag = if_match or author.get("/functions/orders/draft").headers["ETag"]
    path = "/functions/orders/draft/files"
    return author.send("PATCH", path, json={"changes": list(changes)}, headers={"If-Match": tag})


def listed(person: Person, path: str, field: str = "name") -> list[Any]:
    """Return a field of every item over all pages of two."""
    found, cursor = [], ""
    while True:
        mark = "&" if "?" in path else "?"
        answer = person.get(f"{path}{mark}limit=2" + (f"&cursor={cursor}" if cursor else ""))
        assert answer.status_code == 200, answer.text
        found += [item[field] for item in answer.json["items"]]
        cursor = answer.json["next_cursor"]
        if cursor is None:
            return found


def test_functions_are_listed_in_every_order_and_a_cursor_keeps_its_own(
    api: ApiWorld, people: ApiPeople, author: Person
) -> None:
    for name in ("beta", "alpha", "gamma"):
        api.world.clock.advance(seconds=1)
        api.world.functions.create(people.author, project="main", name=name)
    assert listed(author, "/functions?sort=name") == ["alpha", "beta", "gamma", "orders"]
    assert listed(author, "/functions?sort=-created") == ["gamma", "alpha", "beta", "orders"]
    assert listed(author, "/functions?sort=-updated") == ["gamma", "alpha", "beta", "orders"]
    assert listed(author, "/functions?search=AM") == ["gamma"]
    assert listed(author, "/functions?state=live") == []
    cursor = author.get("/functions?sort=name&limit=2").json["next_cursor"]
    mixed = author.get(f"/functions?sort=created&cursor={cursor}")
    assert (mixed.status_code, mixed.json["code"]) == (422, "bad_cursor")
    assert author.get("/functions?sort=size").status_code == 422


def test_a_function_is_described_under_its_etag(author: Person) -> None:
    shown = author.get("/functions/orders")
    tag = shown.headers["ETag"]
    assert (shown.json["state"], shown.json["description"]) == ("idle", "")
    body = {"title": "All orders", "labels": {"team": "shop"}}
    assert author.send("PATCH", "/functions/orders", json=body).status_code == 428
    changed = author.send("PATCH", "/functions/orders", json=body, headers={"If-Match": tag})
    assert changed.status_code == 200, changed.text
    assert (changed.json["title"], changed.json["labels"]) == ("All orders", {"team": "shop"})
    stale = author.send("PATCH", "/functions/orders", json=body, headers={"If-Match": tag})
    assert (stale.status_code, stale.json["code"]) == (412, "precondition_failed")
    assert author.get("/functions/orders").headers["ETag"] == changed.headers["ETag"] != tag


def test_a_name_stays_reserved_while_its_function_is_down(
    api: ApiWorld, people: ApiPeople, author: Person
) -> None:
    operator = api.person(people.operator)
    assert operator.delete("/functions/orders").status_code == 204
    assert author.get("/functions/orders").json["state"] == "removed"
    taken = author.post("/functions", {"project": "main", "name": "orders"})
    assert (taken.status_code, taken.json["code"]) == (409, "conflict")
    restored = operator.post("/functions/orders/restore")
    assert (restored.status_code, restored.json["state"]) == (200, "idle")


def test_several_files_change_in_one_revision_or_none(author: Person) -> None:
    before = author.get("/functions/orders/draft").json["revision"]
    changed = edit(
        author,
        {"op": "put", "path": "a.py", "content": b64("1")},
        {"op": "rename", "path": "function.py", "to": "lib/function.py"},
        {"op": "delete", "path": "ingot.json"},
    )
    assert changed.status_code == 200, changed.text
    assert changed.json["revision"] == before + 1
    files = author.get("/functions/orders/draft/files")
    assert [file["path"] for file in files.json["items"]] == ["a.py", "lib/function.py"]
    assert files.json["items"][0]["size"] == 1
    assert files.headers["ETag"] == changed.headers["ETag"]
    assert author.get("/functions/orders/draft/files/lib/function.py").data == b"x = 1\n"
    for bad in (
        {"op": "rename", "path": "a.py", "to": "lib/function.py"},
        {"op": "rename", "path": "a.py", "to": "../a.py"},
        {"op": "put", "path": "b.py", "content": "no base64"},
        {"op": "put", "path": "lib", "content": ""},
        {"op": "other", "path": "a.py"},
    ):
        refused = edit(author, {"op": "put", "path": "new.py", "content": ""}, bad)
        assert refused.status_code == 422, bad
    missing = edit(
        author, {"op": "put", "path": "new.py", "content": ""}, {"op": "delete", "path": "none.py"}
    )
    assert missing.status_code == 404, missing.text
    assert author.get("/functions/orders/draft").json["revision"] == before + 1
    assert edit(author, {"op": "delete", "path": "a.py"}, if_match='"d1"').status_code == 412


def test_an_archive_goes_down_the_same_each_time_with_the_etag(author: Person) -> None:
    first, second = (author.get("/functions/orders/draft/archive") for _ in range(2))
    assert first.data == second.data
    file = author.get("/functions/orders/draft/files/function.py")
    assert (
        file.headers["ETag"] == first.headers["ETag"] == author.get("/functions/orders/draft").headers["ETag"]
    )


def test_a_run_that_nobody_waits_for_says_where_it_is(api: ApiWorld, author: Person) -> None:
    api.world.run_executor.held = True
    path = "/functions/orders/draft/test-runs"
    begun = author.post(path, {"body": b64("{}")}, headers={"Prefer": "respond-async, wait=1"})
    assert (begun.status_code, begun.json["state"]) == (202, "running")
    assert begun.headers["Preference-Applied"] == "respond-async"
    where = "/" + begun.headers["Location"]
    assert author.get(where).json["state"] == "running"
    api.world.run_executor.release()
    assert author.get(where).json["state"] == "answered"
    assert author.post(f"{where}/cancel").status_code == 409
    waited = author.post(path, {})
    assert (waited.status_code, waited.json["state"]) == (201, "answered")
    assert listed(author, path, "id") == [waited.json["id"], begun.json["id"]]


def test_a_run_is_cancelled(api: ApiWorld, people: ApiPeople, author: Person) -> None:
    api.world.run_executor.held = True
    begun = author.post("/functions/orders/draft/test-runs", {}, headers={"Prefer": "respond-async"})
    where = "/" + begun.headers["Location"]
    assert api.person(people.reviewer).post(f"{where}/cancel").status_code == 403
    assert author.post(f"{where}/cancel").json["state"] == "cancelled"
    api.world.run_executor.release()
    assert author.get(where).json["state"] == "cancelled"


def test_versions_say_why_and_are_found_by_package(api: ApiWorld, people: ApiPeople, author: Person) -> None:
    for number in range(3):
        edit(author, {"op": "put", "path": "requirements.txt", "content": b64(f"Num_Py=={number}")})
        tag = author.get("/functions/orders/draft").headers["ETag"]
        assert author.post("/functions/orders/versions", headers={"If-Match": tag}).status_code == 201
    operator = api.person(people.operator)
    moved = operator.post("/functions/orders/versions/1/deprecate", {"reason": "It counts wrongly."})
    assert (moved.json["state"], moved.json["reason"]) == ("deprecated", "It counts wrongly.")
    assert listed(author, "/functions/orders/versions", "number") == [3, 2, 1]
    assert listed(author, "/functions/orders/versions?state=deprecated", "number") == [1]
    assert listed(author, "/packages/num-py/versions", "number") == [3, 2, 1]
    assert listed(author, "/packages/Num.Py/versions?version=1", "number") == [2]
    found = author.get("/packages/num-py/versions?version=0").json["items"][0]
    assert (found["function_name"], found["state"]) == ("orders", "deprecated")
    assert author.get("/packages/-/versions").status_code == 422


def test_a_preview_shows_its_key_once_and_says_that_nobody_reviewed_it(
    api: ApiWorld, people: ApiPeople, author: Person
) -> None:
    made = author.post("/functions/orders/previews", {})
    assert made.status_code == 201, made.text
    assert (made.json["kind"], made.json["reviewed"], made.json["version"]) == ("draft", False, None)
    assert made.json["url"].endswith(made.json["path"])
    path = f"/functions/orders/previews/{made.json['id']}"
    shown = author.get(path).json
    assert made.json["key"].startswith("ing_preview_")
    assert "key" not in shown
    assert author.get("/functions/orders/previews").json["items"] == [shown]
    reloaded = author.post(f"{path}/reload")
    assert reloaded.json["loaded"]["code"] == "start_timeout", "no worker runs in this test"
    api.world.settle()
    assert author.post(f"{path}/reload").json["loaded"]["ok"]
    assert author.post(f"{path}/renew").status_code == 200
    assert api.person(people.reviewer).delete(path).status_code == 403
    assert author.delete(path).status_code == 204
    assert author.get(path).status_code == 404
    assert author.post("/functions/orders/previews", {"version": 9}).status_code == 404
