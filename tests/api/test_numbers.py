"""Numbers that no database holds are refused where they come in, in every place that takes one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from control_plane.api.schemas import MAX_NUMBER
from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople


def unbounded(schema: Any, where: str) -> Iterator[str]:
    """Yield the places of whole numbers without an upper bound that the store holds."""
    if isinstance(schema, dict):
        if schema.get("type") == "integer" and schema.get("maximum", 2**63) >= 2**63:
            yield where
        for name, inner in schema.items():
            yield from unbounded(inner, f"{where}/{name}")
    elif isinstance(schema, list):
        for inner in schema:
            yield from unbounded(inner, where)


def named_schemas(document: dict[str, Any], schema: Any, found: set[str]) -> set[str]:
    """Return the names of all schemas that one leads to."""
    if isinstance(schema, dict):
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in found:
            found.add(name)
            named_schemas(document, document["components"]["schemas"][name], found)
        for inner in schema.values():
            named_schemas(document, inner, found)
    elif isinstance(schema, list):
        for inner in schema:
            named_schemas(document, inner, found)
    return found


def test_every_whole_number_that_is_sent_has_a_bound(api: ApiWorld) -> None:
    document = api.nobody().get("/openapi.json").json
    bodies: set[str] = set()
    found: list[str] = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            named_schemas(document, operation.get("requestBody"), bodies)
            found += unbounded(operation["parameters"], f"{method} {path}")
    for name in bodies:
        found += unbounded(document["components"]["schemas"][name], name)
    assert len(bodies) > 30
    assert found == []


@pytest.mark.parametrize(
    "path", ["versions/{}", "versions/{}/diff", "releases/{}", "versions/1/diff?base={}"]
)
def test_a_number_beyond_the_bound_is_a_plain_refusal(api: ApiWorld, people: ApiPeople, path: str) -> None:
    api.world.functions.create(people.owner, project="main", name="orders")
    api.world.frozen(people.owner, "orders")
    owner = api.person(people.owner)
    for number in (MAX_NUMBER, MAX_NUMBER + 1, 10**30):
        answer = owner.get("/functions/orders/" + path.format(number))
        assert answer.status_code in {404, 422}, (number, answer.text)
    assert owner.get(f"/events?after={10**30}").json["errors"][0]["pointer"] == "/after"
