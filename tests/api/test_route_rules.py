"""The rules of all routes, tried at every route that they hold for: lists, repeats, ETags, request ids."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.route_recipes import CREATIONS, EDITS, SHOWN, Filled, fill, parts
from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople

# Nobody is known yet whose key it would be.
BEFORE_ANYBODY = {"/setup", "/sessions"}
# Not lists to page through: the functions with the most calls of a span, at most 50; and the end of a
# log, which is followed from the position that the answer names.
NO_PAGES = {"/monitor/functions", "/functions/{function}/logs"}
# What a list asks for besides.
ASKED = {"/files": {"project": "main"}, "/invocations": {"project": "main"}}
# Needs a call that was counted; tests/api/test_invocations.py repeats one.
ELSEWHERE = {"/invocations/{invocation}/rerun"}


@pytest.fixture
def document(api: ApiWorld) -> dict[str, Any]:
    found: dict[str, Any] = api.nobody().get("/openapi.json").json
    return found


@pytest.fixture
def filled(api: ApiWorld, people: ApiPeople) -> Filled:
    return fill(api, people)


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path.removeprefix("/api/v1"), operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if not path.startswith("/api/v1/stream")
    ]


def answer_schema(document: dict[str, Any], operation: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name and the schema of what success is answered with; nothing without JSON."""
    content = operation["responses"].get("200", {}).get("content", {})
    name = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    return name, document["components"]["schemas"].get(name, {})


def lists(document: dict[str, Any]) -> dict[str, set[str]]:
    """Return path -> names of its query, of every route that answers items."""
    return {
        path: {one["name"] for one in operation["parameters"] if one["in"] == "query"}
        for method, path, operation in operations(document)
        if method == "GET"
        and path not in NO_PAGES
        and "items" in answer_schema(document, operation)[1].get("properties", {})
    }


def test_every_list_has_pages_and_fields(document: dict[str, Any], filled: Filled) -> None:
    found = lists(document)
    assert len(found) >= 25
    more_than_one = 0
    for path, query in found.items():
        assert query >= {"limit", "cursor", "fields"}, path
        address, asked = filled.address(path), ASKED.get(path, {})
        whole = filled.owner.get(address, query_string={**asked, "limit": "100"})
        assert whole.status_code == 200, (path, whole.text)
        first = filled.owner.get(address, query_string={**asked, "limit": "1"}).json
        assert len(first["items"]) <= 1, path
        assert first["items"] == whole.json["items"][:1], path
        if len(whole.json["items"]) < 2:
            continue
        more_than_one += 1
        rest = filled.owner.get(
            address, query_string={**asked, "limit": "100", "cursor": first["next_cursor"]}
        ).json
        assert first["items"] + rest["items"] == whole.json["items"], path
        name = next(iter(whole.json["items"][0]))
        named = filled.owner.get(address, query_string={**asked, "fields": name}).json["items"]
        assert [set(item) for item in named] == [{name}] * len(named), path
    assert more_than_one >= 14


def test_every_list_names_the_field_at_fault(document: dict[str, Any], filled: Filled) -> None:
    wrong = [("limit", "0"), ("limit", "101"), ("limit", "x"), ("cursor", "abc"), ("fields", "none")]
    for path in lists(document):
        for name, value in wrong:
            answer = filled.owner.get(filled.address(path), query_string={**ASKED.get(path, {}), name: value})
            assert answer.status_code == 422, (path, name, value, answer.text)
            assert [one["pointer"] for one in answer.json["errors"]] == [f"/{name}"], (path, name, value)
            assert answer.json["hint"], (path, name, value)


def test_no_list_takes_the_cursor_of_another(document: dict[str, Any], filled: Filled) -> None:
    cursor = filled.owner.get("/projects", query_string={"limit": "1"}).json["next_cursor"]
    for path in set(lists(document)) - {"/projects"}:
        answer = filled.owner.get(
            filled.address(path), query_string={**ASKED.get(path, {}), "cursor": cursor}
        )
        assert (answer.status_code, answer.json["code"]) == (422, "bad_cursor"), path


def creations(document: dict[str, Any]) -> set[str]:
    return {
        path
        for method, path, operation in operations(document)
        if method == "POST" and {"201", "202"} & set(operation["responses"])
    }


def taking_keys(document: dict[str, Any]) -> set[str]:
    return {
        path
        for _, path, operation in operations(document)
        if any(one["name"] == "Idempotency-Key" for one in operation["parameters"])
    }


def test_every_route_that_creates_takes_an_idempotency_key(document: dict[str, Any]) -> None:
    assert creations(document) - taking_keys(document) == BEFORE_ANYBODY
    assert taking_keys(document) - set(CREATIONS) == ELSEWHERE


def test_a_repeated_creation_gets_the_first_answer(filled: Filled) -> None:
    for number, path in enumerate(CREATIONS):
        address, headers = filled.address(path), {"Idempotency-Key": f"k{number}", **filled.etag(path)}
        first = filled.owner.post(address, CREATIONS[path], headers=headers)
        assert first.status_code in {200, 201, 202}, (path, first.text)
        again = filled.owner.post(address, CREATIONS[path], headers=headers)
        assert (again.status_code, again.json) == (first.status_code, first.json), path
        for name in ("ETag", "Location"):
            assert again.headers.get(name) == first.headers.get(name), (path, name)
        assert again.headers["Idempotency-Replayed"] == "true", path
        assert "Idempotency-Replayed" not in first.headers, path
        other = filled.owner.post(address, {**CREATIONS[path], "more": 1}, headers=headers)
        assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused"), path


def test_every_change_that_asks_for_an_etag_is_tried(document: dict[str, Any]) -> None:
    asking = {
        f"{method} {path}"
        for method, path, operation in operations(document)
        if any(one["name"] == "If-Match" and one["required"] for one in operation["parameters"])
    }
    assert asking == set(EDITS)


def test_no_change_without_or_with_a_stale_etag(filled: Filled) -> None:
    for route, sent in EDITS.items():
        method, _, path = route.partition(" ")
        address, body = filled.address(path), parts(sent)
        if path.endswith("/archive"):
            body = {"data": filled.owner.get(address).data, "content_type": "application/gzip"}
        without = filled.owner.send(method, address, **body)
        assert (without.status_code, without.json["code"]) == (428, "precondition_required"), without.text
        assert without.json["errors"][0]["pointer"] == "/If-Match", route
        for vague in ("*", 'W/"1"', "1", '"1", "2"'):
            refused = filled.owner.send(method, address, headers={"If-Match": vague}, **body)
            assert refused.status_code == 422, (route, vague, refused.text)
        stale = filled.owner.send(method, address, headers={"If-Match": '"stale"'}, **body)
        assert stale.status_code == 412, (route, stale.text)


def test_a_change_leaves_another_etag_behind(filled: Filled) -> None:
    changes = [route for route in EDITS if route.startswith("PATCH") and not route.endswith("/files")]
    assert len(changes) >= 5
    for route in changes:
        address, body = filled.address(route.partition(" ")[2]), parts(EDITS[route])
        headers = {"If-Match": filled.owner.get(address).headers["ETag"]}
        changed = filled.owner.send("PATCH", address, headers=headers, **body)
        assert changed.status_code == 200, (route, changed.text)
        assert changed.headers["ETag"] != headers["If-Match"], route
        assert changed.headers["ETag"] == filled.owner.get(address).headers["ETag"], route
        assert filled.owner.send("PATCH", address, headers=headers, **body).status_code == 412, route


def editables(document: dict[str, Any]) -> dict[str, set[str]]:
    """Return GET path -> its schema and those that hold it, for everything that is shown with an ETag."""
    schemas = document["components"]["schemas"]
    found: dict[str, set[str]] = {}
    for method, path, operation in operations(document):
        if method == "GET" and "ETag" in operation["responses"]["200"]["headers"]:
            name, _ = answer_schema(document, operation)
            found[path] = {name} | {
                outer
                for outer, schema in schemas.items()
                for part in schema.get("properties", {}).values()
                if name and part.get("$ref", "").endswith(f"/{name}")
            }
    return found


def showing(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each change whose answer shows something editable -> that answer."""
    shown = editables(document)
    schemas = set().union(*shown.values()) - {""}
    found = {}
    for method, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/json", {})
            name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            if method != "GET" and status in {"200", "201", "202"} and (path in shown or name in schemas):
                found[f"{method} {path}"] = answer
    return found


def test_whatever_makes_or_changes_an_editable_thing_answers_its_etag(
    api: ApiWorld, document: dict[str, Any], filled: Filled
) -> None:
    found = showing(document)
    assert set(found) <= set(SHOWN), "say in SHOWN where it is read back"
    assert len(editables(document)) >= 15
    for route, answer in found.items():
        assert "ETag" in answer["headers"], route
    for route, shown in SHOWN.items():
        method, _, path = route.partition(" ")
        address, body = filled.address(path), parts(shown.body)
        if path.endswith("/archive"):
            body = {"data": filled.owner.get(address).data, "content_type": "application/gzip"}
        elif path.endswith("/restore"):
            assert filled.owner.delete(address.removesuffix("/restore")).status_code == 204
        function = {"function": "taken"} if "/installation/" in path else {}
        seen = filled.owner.get(filled.address(shown.seen_at, **function)) if shown.seen_at else None
        headers = {"If-Match": seen.headers["ETag"]} if seen else {}
        answer = filled.owner.send(method, address, headers=headers, **body)
        assert answer.status_code in {200, 201, 202}, (route, answer.text)
        assert answer.headers["ETag"], route
        if shown.read_at:
            read = filled.owner.get(filled.address(shown.read_at, answer=answer.json, **function))
            assert answer.headers["ETag"] == read.headers["ETag"], route
        api.world.settle()


def test_every_answer_carries_the_id_of_its_request(
    api: ApiWorld, document: dict[str, Any], filled: Filled
) -> None:
    absent = {"user": "u", "run": "r", "preview": "p", "invocation": "i", "request_id": "x", "role": "viewer"}
    values = {**absent, "token": "t", "session": "s", "comment": "c", **filled.values}
    for method, path, _ in operations(document):
        for person in (filled.owner, api.nobody()):
            answer = person.send(method, path.format(**values), headers={"X-Request-Id": "mine-7"})
            assert answer.headers["X-Request-Id"] == "mine-7", (method, path)
            if answer.status_code >= 400:
                assert answer.json["request_id"] == "mine-7", (method, path)
