"""Settings and secrets over HTTP: ETags, versions, who holds what, and the canary."""

from __future__ import annotations

from typing import Any

from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople

CANARY = "canary-value"


def test_a_value_changes_under_if_match(api: ApiWorld, people: ApiPeople) -> None:
    operator = api.person(people.operator)
    path = "/projects/main/settings/API_URL"
    made = operator.put(path, {"value": "1"})
    assert (made.status_code, made.headers["ETag"]) == (200, '"v1"'), made.text
    assert operator.put(path, {"value": "2"}).status_code == 428
    assert operator.put(path, {"value": "2"}, headers={"If-Match": '"v2"'}).status_code == 412
    assert operator.put(path, {"value": "2"}, headers={"If-Match": '"v1"'}).json["number"] == 2
    shown = operator.get(path)
    assert (shown.headers["ETag"], shown.json["value"], shown.json["used_by"]) == ('"v2"', "2", [])
    versions = operator.get(f"{path}/versions").json["items"]
    assert [(one["number"], one["value"]) for one in versions] == [(2, "2"), (1, "1")]
    assert operator.get(f"{path}?stage=test").status_code == 404
    assert operator.delete(path).status_code == 428
    assert operator.delete(path, headers={"If-Match": '"v2"'}).status_code == 204
    assert operator.get(path).status_code == 404


def test_a_secret_stands_in_no_answer_and_no_log(api: ApiWorld, people: ApiPeople, caplog: Any) -> None:
    operator, owner = api.person(people.operator), api.person(people.owner)
    path = "/projects/main/secrets/TOKEN"
    answers = [
        operator.put(path, {"value": CANARY}, headers={"Idempotency-Key": "k"}),
        operator.put(path, {"value": CANARY}),
        operator.put(path, {"value": CANARY, "stage": CANARY}),
        operator.put(path, {"value": CANARY, "none": 1}),
        operator.put("/projects/main/secrets/lower", {"value": CANARY}),
        operator.put(path, {"value": CANARY + "2"}, headers={"If-Match": '"v1"'}),
        owner.get(path),
        owner.get(f"{path}/versions"),
        owner.get("/projects/main/settings"),
        owner.get("/audit?limit=100"),
        owner.get("/events?limit=100"),
    ]
    assert [answer.status_code for answer in answers] == [200, 428, 422, 422, 422, 200, *[200] * 5]
    for answer in answers[:1] + answers[1:2] + answers[4:]:
        assert CANARY not in answer.text, answer.request.path
    assert CANARY not in caplog.text
    versions = answers[7].json["items"]
    assert [(one["number"], one["value"]) for one in versions] == [(2, None), (1, None)]


def test_a_value_that_calls_need_is_not_removed(api: ApiWorld, people: ApiPeople) -> None:
    operator, world = api.person(people.operator), api.world
    function = world.functions.create(people.author, project="main", name="orders").id
    path = "/projects/main/secrets/TOKEN"
    assert operator.put(path, {"value": "a", "function": "orders"}).json["function"] == function
    version = world.frozen(people.author, secrets=["TOKEN"])
    world.approved(people.author, people.reviewer, version)
    world.released(people.operator, version)
    rotated = operator.put(path, {"value": "b", "function": "orders"}, headers={"If-Match": '"v1"'})
    [use] = rotated.json["used_by"]
    assert (use["function_name"], use["release"], use["number"], use["outdated"]) == ("orders", 1, 1, True)
    refused = operator.delete(f"{path}?function=orders", headers={"If-Match": '"v2"'})
    assert (refused.status_code, refused.json["code"]) == (409, "value_in_use")
    assert "orders (release 1)" in refused.json["detail"]
