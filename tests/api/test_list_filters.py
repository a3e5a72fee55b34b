"""Lists of files, members, API keys and events narrowed to what is meant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from control_plane.domain.access import Role
from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople


def listed(person: Any, path: str, field: str, **query: str) -> list[Any]:
    answer = person.get(path, query_string=query)
    assert answer.status_code == 200, answer.text
    return [item[field] for item in answer.json["items"]]


def test_files_by_the_beginning_of_the_name_and_by_state(api: ApiWorld, people: ApiPeople) -> None:
    author = api.person(people.author)
    for name in ("Report 1.csv", "report_2.csv", "invoices.csv"):
        made = author.post("/files", {"project": "main", "name": name, "size": 1}).json
        if name == "report_2.csv":
            author.send("PUT", "/" + made["upload"]["url"], data=b"x")

    def names(**query: str) -> list[Any]:
        return listed(author, "/files", "name", project="main", **query)

    assert names(name="rep") == ["Report 1.csv", "report_2.csv"]
    assert names(name="report_") == ["report_2.csv"], "an underscore stands for itself"
    assert names(state="stored") == ["report_2.csv"]
    assert names(name="rep", state="waiting") == ["Report 1.csv"]
    assert names(name="port") == []
    assert author.get("/files", query_string={"project": "main", "state": "removed"}).status_code == 422


def test_members_by_role_by_words_and_by_whether_they_are_disabled(api: ApiWorld, people: ApiPeople) -> None:
    owner = api.person(people.owner)
    dora = api.world.member(people.owner, "dora", Role.VIEWER).user
    api.world.members.disable(people.owner, dora)

    def ids(**query: str) -> list[Any]:
        return listed(owner, "/members", "id", **query)

    everybody = ids()
    assert ids(role="reviewer") == [people.reviewer.user]
    assert ids(role="billing") == []
    assert ids(search="DORA@") == [dora]
    assert ids(search=people.author.name[1:]) == [people.author.user]
    assert ids(search="%") == []
    assert ids(disabled="true") == [dora]
    assert ids(disabled="false") == [one for one in everybody if one != dora]
    assert ids(role="viewer", disabled="false", search="dora") == []
    first = owner.get("/members", query_string={"disabled": "false", "limit": "2"}).json
    rest = ids(disabled="false", cursor=first["next_cursor"])
    assert [one["id"] for one in first["items"]] + rest == ids(disabled="false")
    assert owner.get("/members?role=king").status_code == 422


def test_keys_by_name_by_state_and_by_the_function_that_they_may_call(
    api: ApiWorld, people: ApiPeople
) -> None:
    operator, world = api.person(people.operator), api.world
    world.functions.create(people.author, project="main", name="orders")
    world.functions.create(people.author, project="main", name="till")
    world.api_keys.create(people.operator, project="main", name="shop")
    world.api_keys.create(people.operator, project="main", name="Shop of orders", functions=("orders",))
    short = operator.post("/projects/main/api-keys", {"name": "short", "days": 1, "functions": ["till"]}).json
    gone = world.api_keys.create(people.operator, project="main", name="gone").key
    world.api_keys.revoke(people.operator, gone.id)
    world.clock.advance(hours=25)
    operator = api.person(people.operator)

    def names(**query: str) -> list[Any]:
        return listed(operator, "/projects/main/api-keys", "name", **query)

    assert names(name="shop") == ["Shop of orders", "shop"]
    assert names(state="revoked") == ["gone"]
    assert names(state="expired") == [short["key"]["name"]]
    assert names(state="active") == ["Shop of orders", "shop"]
    assert names(function="orders", state="active") == ["Shop of orders", "shop"]
    assert names(function="till") == ["gone", "short", "shop"]
    assert operator.get("/projects/main/api-keys?function=none").status_code == 404
    world.projects.create(people.owner, name="other")
    elsewhere = world.functions.create(people.owner, project="other", name="far").id
    refused = api.person(people.owner).get("/projects/main/api-keys", query_string={"function": elsewhere})
    assert refused.json["errors"][0]["pointer"] == "/function"


def test_events_by_type_by_what_they_tell_of_and_since_a_time(api: ApiWorld, people: ApiPeople) -> None:
    owner, world = api.person(people.owner), api.world
    first = world.functions.create(people.author, project="main", name="first")
    world.events.sequence()
    world.clock.advance(hours=1)
    now = datetime.fromtimestamp(world.clock.now_ms() / 1000, UTC).isoformat()
    second = world.functions.create(people.author, project="main", name="second")
    world.functions.remove(people.owner, first.id)
    world.events.sequence()
    owner = api.person(people.owner)

    def told(**query: str) -> list[Any]:
        return [
            (one["type"].removeprefix("dev.ingot.").removesuffix(".v1"), one["subject"])
            for one in owner.get("/events", query_string=query).json["items"]
        ]

    made = [("function.created", first.id), ("function.created", second.id)]
    removed = ("function.removed", first.id)
    assert told(type="function") == [*made, removed]
    assert told(type="function.created") == told(type="dev.ingot.function.created.v1") == made
    assert told(subject=first.id) == [made[0], removed]
    assert told(type="function.rem", subject=first.id) == [removed]
    assert told(since=now) == [made[1], removed]
    assert told(since=now, type="function.created") == [made[1]]
    assert told(since="2999-01-01T00:00:00Z") == []
    page = owner.get("/events", query_string={"since": now, "limit": "1"}).json
    assert told(since=now, cursor=page["next_cursor"]) == [removed]
    refused = owner.get("/events?type=no.such")
    assert refused.json["errors"][0]["pointer"] == "/type"


@pytest.mark.parametrize("since", ["yesterday", "2026-11-22T10:00:00", "5"])
def test_a_time_names_its_zone(api: ApiWorld, people: ApiPeople, since: str) -> None:
    answer = api.person(people.owner).get("/events", query_string={"since": since})
    assert answer.json["errors"][0]["pointer"] == "/since"
