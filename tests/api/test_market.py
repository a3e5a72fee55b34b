"""Sharing and the market over HTTP, and the canary: nothing of another tenant but what it offers."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.identity import ReviewPolicy
from control_plane.domain.values import ValueKey, ValueKind
from tests.api.test_access import make_stranger
from tests.support.api import ApiWorld, Person
from tests.support.api_fixtures import ApiPeople

CANARY = "canary-of-acme"


@pytest.fixture
def version(api: ApiWorld, people: ApiPeople) -> Any:
    world = api.world
    world.drafted(
        people.author,
        "orders",
        description="Adds up orders",
        secrets=["TOKEN"],
        input_schema={"type": "object"},
    )
    etag = world.drafts.get(people.author, "orders").etag
    world.drafts.put_file(people.author, "orders", "README.md", b"# Orders\n", if_match=etag)
    etag = world.drafts.get(people.author, "orders").etag
    world.drafts.put_file(people.author, "orders", "requirements.txt", b"six==1.16.0", if_match=etag)
    version = world.versions.freeze(people.author, "orders")
    world.approved(people.author, people.reviewer, version)
    return version


def share(api: ApiWorld, people: ApiPeople, **more: Any) -> Any:
    body = {"version": 1, "audience": "everyone", "tags": ["money"], **more}
    answer = api.person(people.owner).post("/functions/orders/shares", body)
    assert answer.status_code == 201, answer.text
    return answer


@pytest.fixture
def stranger(api: ApiWorld, people: ApiPeople) -> Person:
    return api.person(make_stranger(api))


def test_an_offer_is_found_shown_installed_and_updated(
    api: ApiWorld, people: ApiPeople, version: Any, stranger: Person
) -> None:
    made = share(api, people)
    offer = stranger.get("/market?q=ord&tags=money").json["items"][0]
    assert (offer["organization"], offer["name"], offer["reviewed"]) == ("acme", "orders", True)
    shown = stranger.get(f"/market/{offer['id']}").json
    assert shown["readme"] == "# Orders\n"
    assert shown["dependencies"] == {"six": "1.16.0"}
    assert (shown["secrets"], shown["input_schema"]) == (["TOKEN"], {"type": "object"})
    assert (shown["withdrawn"], shown["digest"]) == (None, version.digest)
    installed = stranger.post(
        f"/market/{offer['id']}/installations", {"project": "main", "digest": offer["digest"]}
    )
    assert (installed.status_code, installed.json["name"]) == (201, "orders"), installed.text
    again = stranger.post(f"/market/{offer['id']}/installations", {"project": "main"})
    assert (again.status_code, again.json["errors"][0]["pointer"]) == (409, "/name")
    assert stranger.get("/functions/orders/installation").json["newer"] is None

    api.world.drafted(people.author, "orders", "x = 2\n")
    newer = api.world.versions.freeze(people.author, "orders")
    api.world.approved(people.author, people.reviewer, newer)
    owner = api.person(people.owner)
    path = f"/shares/{offer['id']}"
    body = {"version": 2}
    assert owner.put(path, body).status_code == 428
    assert owner.put(path, body, headers={"If-Match": '"s7"'}).status_code == 412
    changed = owner.put(path, body, headers={"If-Match": made.headers["ETag"]})
    assert (changed.status_code, changed.json["reviewed"]) == (200, True), changed.text
    [notice] = stranger.get("/installations").json["items"]
    assert notice["newer"]["digest"] == newer.digest
    etag = stranger.get("/functions/orders/draft").headers["ETag"]
    update = stranger.post("/functions/orders/installation/update", headers={"If-Match": etag})
    assert update.status_code == 200, update.text
    assert stranger.get("/functions/orders/draft/files/function.py").data == b"x = 2\n"


def test_an_unreviewed_version_must_be_called_so(api: ApiWorld, people: ApiPeople) -> None:
    api.world.frozen(people.author, "orders")
    refused = api.person(people.owner).post("/functions/orders/shares", {"version": 1})
    assert (refused.status_code, refused.json["code"]) == (409, "unreviewed_share")
    wish = {"version": 1, "unreviewed": True}
    refused = api.person(people.owner).post("/functions/orders/shares", wish)
    assert (refused.status_code, refused.json["code"]) == (409, "unreviewed_share")
    api.world.projects.set_policy(people.owner, "main", ReviewPolicy(approvals=0), if_match="p1")
    assert share(api, people, unreviewed=True).json["reviewed"] is False


def test_another_tenant_sees_nothing_but_the_offer(
    api: ApiWorld, people: ApiPeople, version: Any, stranger: Person
) -> None:
    world = api.world
    world.functions.create(people.owner, project="main", name=f"f-{CANARY}")
    world.settings.put(people.operator, "main", ValueKey(ValueKind.SECRET, "TOKEN"), CANARY)
    world.settings.put(people.operator, "main", ValueKey(ValueKind.SETTING, "API_URL"), CANARY)
    other = world.frozen(people.author, "other", text=f"# {CANARY}\n")
    world.approved(people.author, people.reviewer, other)
    for name, audience in (("other", "organization"), ("other", "project")):
        body = {"version": other.number, "audience": audience, "summary": CANARY}
        assert api.person(people.owner).post(f"/functions/{name}/shares", body).status_code == 201
    offer = share(api, people).json["id"]
    stranger.post(f"/market/{offer}/installations", {"project": "main"})
    hidden = [CANARY, people.author.user, people.author.email, people.owner.organization]
    hidden += [version.function, version.id, version.project]
    for path in (
        "/market",
        "/market?q=canary",
        f"/market/{offer}",
        "/shares",
        "/installations",
        "/functions/orders/installation",
        "/audit",
        "/events",
    ):
        answer = stranger.get(path)
        assert answer.status_code == 200, path
        assert [one for one in hidden if one in answer.text] == [], path
    for mine in api.person(people.owner).get("/shares").json["items"]:
        expected = 200 if mine["audience"] == "everyone" else 404
        assert stranger.get(f"/market/{mine['id']}").status_code == expected
        assert stranger.get(f"/market/{mine['id']}/source").status_code == expected
        assert stranger.get(f"/shares/{mine['id']}").status_code == 404


def test_unsharing_stops_new_installs(
    api: ApiWorld, people: ApiPeople, version: Any, stranger: Person
) -> None:
    made = share(api, people)
    owner, path = api.person(people.owner), f"/shares/{made.json['id']}"
    assert owner.delete(path).status_code == 428
    etag = owner.get(path).headers["ETag"]
    assert owner.delete(path, headers={"If-Match": etag}).status_code == 204
    refused = stranger.post(f"/market/{made.json['id']}/installations", {"project": "main"})
    assert (refused.status_code, refused.json["code"]) == (404, "not_found")


def test_the_market_pages(api: ApiWorld, people: ApiPeople) -> None:
    for name in ("a", "b", "c"):
        api.world.approved(people.author, people.reviewer, api.world.frozen(people.author, name))
        body = {"version": 1, "audience": "organization"}
        assert api.person(people.owner).post(f"/functions/{name}/shares", body).status_code == 201
    viewer = api.person(people.reviewer)
    first = viewer.get("/market?limit=2&fields=name").json
    second = viewer.get(f"/market?limit=2&fields=name&cursor={first['next_cursor']}").json
    assert first["items"] + second["items"] == [{"name": "a"}, {"name": "b"}, {"name": "c"}]
    assert second["next_cursor"] is None
