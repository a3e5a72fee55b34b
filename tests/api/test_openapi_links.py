"""The document's links: each leads to a route, with values that the answer holds, and none is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople

# What a caller chooses, so that no answer holds it before.
CHOSEN = {
    # A package's name comes from outside.
    ("/api/v1/packages/{name}/versions", "name"),
    # What is set for the first time has the name that it is given; afterwards the list shows it,
    # and settings and secrets are in one list.
    ("/api/v1/projects/{project}/secrets/{name}", "name"),
    ("/api/v1/projects/{project}/secrets/{name}/versions", "name"),
}


@pytest.fixture
def document(api: ApiWorld) -> dict[str, Any]:
    found: dict[str, Any] = api.nobody().get("/openapi.json").json
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method, path, operation


def links(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Yield (source path, source, answer, link)."""
    for _, path, operation in operations(document):
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                yield path, operation, answer, link


def at(document: dict[str, Any], schema: dict[str, Any], steps: list[str]) -> dict[str, Any] | None:
    """Return the schema that a JSON pointer leads to, or None."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if not steps:
        return schema
    inner = schema.get("items") if steps[0].isdecimal() else schema.get("properties", {}).get(steps[0])
    return None if inner is None else at(document, inner, steps[1:])


def test_every_link_leads_to_a_route_that_takes_what_it_gives(document: dict[str, Any]) -> None:
    known = {operation["operationId"]: operation for _, _, operation in operations(document)}
    assert len(known) == len(list(operations(document)))
    for path, _, _, link in links(document):
        taken = {one["name"] for one in known[link["operationId"]]["parameters"]}
        assert set(link["parameters"]) <= taken, (path, link)
        assert "requestBody" not in link or "requestBody" in known[link["operationId"]], (path, link)
    assert len(list(links(document))) > 250


def test_every_link_takes_what_the_answer_holds(document: dict[str, Any]) -> None:
    for path, _, answer, link in links(document):
        for value in (*link["parameters"].values(), *link.get("requestBody", {}).values()):
            if value.startswith("$request.path."):
                assert f"{{{value.rpartition('.')[2]}}}" in path, (path, link)
            elif value.startswith("$response.header."):
                assert value.rpartition(".")[2] in answer["headers"], (path, link)
            else:
                assert value.startswith("$response.body#/"), (path, link)
                schema = answer["content"]["application/json"]["schema"]
                found = at(document, schema, value.partition("#/")[2].split("/"))
                assert found is not None, (path, value)
                assert found["type"] in {"string", "integer"}, (path, value)


def test_every_address_can_be_filled_from_another_answer(document: dict[str, Any]) -> None:
    given: dict[str, set[str]] = {}
    for _, _, _, link in links(document):
        found = {name for name, value in link["parameters"].items() if value.startswith("$response.body")}
        given.setdefault(link["operationId"], set()).update(found)
    missing = {
        (path, variable)
        for _, path, operation in operations(document)
        for variable in re.findall(r"{(\w+)}", path)
        if variable not in given.get(operation["operationId"], set())
    }
    assert missing == CHOSEN


def test_every_change_that_needs_an_etag_is_linked_from_what_shows_it(document: dict[str, Any]) -> None:
    linked = {link["operationId"] for _, _, _, link in links(document) if "If-Match" in link["parameters"]}
    asking = {
        operation["operationId"]
        for _, _, operation in operations(document)
        if any(one["name"] == "If-Match" for one in operation["parameters"])
    }
    assert len(asking) > 20
    assert asking - linked == set()


def test_what_links_say_holds_for_real_answers(
    api: ApiWorld, people: ApiPeople, document: dict[str, Any]
) -> None:
    owner = api.person(people.owner)
    by_id = {operation["operationId"]: (method, path) for method, path, operation in operations(document)}
    named = {"post /functions": {"name": "orders"}, "patch /functions/{function}": {"title": "Orders"}}
    source, answer = "post /projects", owner.post("/projects", {"name": "linked"})
    for step in ("post /functions", "get /functions/{function}", "patch /functions/{function}"):
        link = next(
            link for _, operation, _, link in links(document)
            if " ".join(by_id[operation["operationId"]]).replace("/api/v1", "") == source
            and " ".join(by_id[link["operationId"]]).replace("/api/v1", "") == step
        )  # fmt: skip
        method, _, address = step.partition(" ")
        values = {name: resolved(answer, value) for name, value in link["parameters"].items()}
        body = {name: resolved(answer, value) for name, value in link.get("requestBody", {}).items()}
        more: dict[str, Any] = {"json": {**body, **named[step]}} if step in named else {}
        headers = {name: value for name, value in values.items() if name == "If-Match"}
        answer = owner.send(method.upper(), address.format(**values), headers=headers, **more)
        assert answer.status_code in {200, 201}, (step, answer.text)
        source = step
    assert answer.json["title"] == "Orders"
    assert answer.json["project"] == owner.get("/projects/linked").json["id"]


def resolved(answer: Any, expression: str) -> Any:
    if expression.startswith("$request.path."):
        return answer.request.path.rpartition("/")[2]
    if expression.startswith("$response.header."):
        return answer.headers[expression.rpartition(".")[2]]
    found = answer.json
    for step in expression.partition("#/")[2].split("/"):
        found = found[int(step)] if step.isdecimal() else found[step]
    return found
