"""Organizations, departments, members, sessions, tokens and explanations over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.access import ROLES, Role
from tests.api.test_access import make_stranger
from tests.support.api import ORIGIN, ApiWorld
from tests.support.api_fixtures import ApiPeople
from tests.support.builders import PASSWORD

OWN = {"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}


def test_an_organization_is_made_shown_and_changed(api: ApiWorld, people: ApiPeople) -> None:
    owner = api.person(people.owner)
    made = owner.post("/organizations", {"name": "other", "title": "Other"}, headers={"Idempotency-Key": "k"})
    assert made.status_code == 201, made.text
    again = owner.post(
        "/organizations", {"name": "other", "title": "Other"}, headers={"Idempotency-Key": "k"}
    )
    assert (again.status_code, again.json["id"]) == (201, made.json["id"])
    assert [one["name"] for one in owner.get("/organizations").json["items"]] == ["acme", "other"]
    first = owner.get("/organizations?limit=1").json
    rest = owner.get(f"/organizations?cursor={first['next_cursor']}").json
    assert [one["name"] for one in rest["items"]] == ["other"]
    path = f"/organizations/{made.json['id']}"
    shown = owner.get(path)
    assert owner.send("PATCH", path, json={"title": "New"}).status_code == 428
    changed = owner.send("PATCH", path, json={"title": "New"}, headers={"If-Match": shown.headers["ETag"]})
    assert (changed.json["title"], changed.headers["ETag"]) == ("New", '"o2"')
    stale = owner.send("PATCH", path, json={"title": "Old"}, headers={"If-Match": shown.headers["ETag"]})
    assert stale.status_code == 412
    assert owner.get("/organizations/acme").json["name"] == "acme"
    assert owner.get("/organizations/current").headers["ETag"] == '"o1"'
    assert api.person(people.author).get(path).status_code == 404


def test_a_project_moves_between_departments(api: ApiWorld, people: ApiPeople) -> None:
    owner = api.person(people.owner)
    sales = owner.post("/departments", {"name": "sales"})
    assert sales.status_code == 201, sales.text
    north = owner.post("/departments", {"name": "north", "parent": "sales"}).json
    assert (north["parent"], north["scope"]) == (sales.json["id"], f"{sales.json['scope']}/{north['id']}")
    project = owner.get("/projects/main")
    assert (project.json["department"], project.json["scope"]) == (
        "",
        f"/{people.owner.organization}/{project.json['id']}",
    )
    headers = {"If-Match": project.headers["ETag"]}
    moved = owner.send("PATCH", "/projects/main", json={"department": "north"}, headers=headers)
    assert (moved.status_code, moved.json["department"]) == (200, north["id"]), moved.text
    assert [one["name"] for one in owner.get("/projects?department=sales").json["items"]] == ["main"]
    assert owner.delete("/departments/sales").status_code == 409
    headers = {"If-Match": moved.headers["ETag"]}
    back = owner.send("PATCH", "/projects/main", json={"department": "", "title": "Main!"}, headers=headers)
    assert (back.json["department"], back.json["title"]) == ("", "Main!")
    assert owner.delete("/departments/north").status_code == 204
    shown = owner.get("/departments/sales")
    named = owner.send(
        "PATCH", "/departments/sales", json={"title": "Selling"}, headers={"If-Match": shown.headers["ETag"]}
    )
    assert named.json["title"] == "Selling"
    assert [one["name"] for one in owner.get("/departments?fields=name").json["items"]] == ["sales"]


def test_roles_are_given_and_taken_at_every_place(api: ApiWorld, people: ApiPeople) -> None:
    owner, user = api.person(people.owner), people.author.user
    owner.post("/departments", {"name": "sales"})
    for place in ({}, {"project": "main"}, {"department": "sales"}, {"system": True}):
        given = owner.post(f"/members/{user}/roles", {"role": "viewer", **place})
        assert given.status_code == 200, given.text
    assert len(owner.get(f"/members/{user}").json["bindings"]) == 4
    everywhere = {one["id"] for one in owner.get("/system/members").json["items"]}
    assert everywhere == {people.owner.user, user}
    for query in ("", "?project=main", "?department=sales", "?system=true"):
        assert owner.delete(f"/members/{user}/roles/viewer{query}").status_code == 204, query
        assert owner.delete(f"/members/{user}/roles/viewer{query}").status_code == 409, query
    assert [one["role"] for one in owner.get(f"/members/{user}").json["bindings"]] == ["author"]
    assert owner.delete(f"/members/{user}/roles/emperor").status_code == 404
    last = owner.delete(f"/members/{people.owner.user}/roles/owner")
    assert (last.status_code, last.json["code"]) == (409, "conflict")
    admin = api.person(api.world.member(people.owner, "adam", Role.ADMIN))
    above = admin.post(f"/members/{user}/roles", {"role": "owner"})
    assert (above.status_code, above.json["code"]) == (403, "forbidden")


def test_members_are_named_by_their_address(api: ApiWorld, people: ApiPeople) -> None:
    owner, email = api.person(people.owner), people.author.email
    assert owner.get(f"/members/{email.upper()}").json["id"] == people.author.user
    owner.post("/departments", {"name": "sales"})
    owner.post("/projects", {"name": "shop", "department": "sales"})
    for place in ({"project": "shop"}, {"department": "sales"}, {"system": True}):
        assert owner.post(f"/members/{email}/roles", {"role": "viewer", **place}).status_code == 200
    held = {(one["role"], one["place"]) for one in owner.get(f"/members/{email}").json["bindings"]}
    assert held == {
        ("author", "acme"),
        ("viewer", "acme/sales"),
        ("viewer", "acme/sales/shop"),
    }
    above = owner.get("/system/members").json["items"]
    assert {one["place"] for member in above for one in member["bindings"]} == {"system"}
    assert {one["place"] for one in owner.get("/me").json["bindings"]} == {"acme", "system"}
    assert owner.post(f"/members/{email}/disable").json["disabled_at"]
    assert owner.post(f"/members/{email}/enable").json["disabled_at"] is None
    done = owner.get(f"/audit?actor={people.owner.email}&action=member.grant").json["items"]
    assert [one["subject"] for one in done] == [people.author.user] * 2, "the third stands in the platform's"
    assert owner.get("/audit?actor=nobody@x.example").json["items"] == []
    assert owner.delete(f"/members/{email}/roles/viewer?project=shop").status_code == 204
    assert owner.delete(f"/members/{email}").status_code == 204
    assert owner.get(f"/members/{people.author.user}").status_code == 404


def test_an_address_says_nothing_about_other_tenants(api: ApiWorld, people: ApiPeople) -> None:
    owner, stranger = api.person(people.owner), make_stranger(api)
    nobody = owner.get("/members/nobody@x.example")
    known = owner.get(f"/members/{stranger.email}")
    assert nobody.status_code == known.status_code == 404
    assert nobody.json["detail"].replace("nobody@x.example", stranger.email) == known.json["detail"]
    for address in ("nobody@x.example", stranger.email):
        assert owner.post(f"/members/{address}/roles", {"role": "viewer"}).status_code == 404
        assert owner.get(f"/audit?actor={address}").json["items"] == []


def test_a_role_in_the_system_counts_for_who_is_named_by_address(api: ApiWorld, people: ApiPeople) -> None:
    owner = api.person(people.owner)
    asked = "permission=organization:create&scope=/"
    by_id = owner.get(f"/access/explain?user={people.owner.user}&{asked}").json
    assert by_id["allowed"] is True
    assert owner.get(f"/access/explain?user={people.owner.email}&{asked}").json == by_id


def test_a_member_is_disabled_and_enabled(api: ApiWorld, people: ApiPeople) -> None:
    owner, author = api.person(people.owner), api.person(people.author)
    off = owner.post(f"/members/{people.author.user}/disable")
    assert (off.status_code, off.json["disabled_at"] is None) == (200, False), off.text
    assert author.get("/me").status_code == 401
    assert owner.post(f"/members/{people.author.user}/enable").json["disabled_at"] is None
    page = owner.get("/members?limit=2").json
    after = owner.get(f"/members?cursor={page['next_cursor']}").json
    emails = [one["email"] for one in page["items"] + after["items"]]
    assert len(emails) == len(set(emails)) == 4


def test_the_table_of_roles_and_the_reasons(api: ApiWorld, people: ApiPeople) -> None:
    author, owner = api.person(people.author), api.person(people.owner)
    shown = {one["name"]: set(one["permissions"]) for one in author.get("/roles").json["items"]}
    assert shown == {role.value: {str(one) for one in ROLES[role]} for role in Role}
    query = f"user={people.author.email}&permission=function:write&scope=main"
    told = owner.get(f"/access/explain?{query}").json
    assert (told["allowed"], told["user"], told["missing_roles"]) == (True, people.author.user, [])
    assert told["bindings"] == [
        {
            "role": "author",
            "scope": f"/{people.author.organization}",
            "place": "acme",
            "carries": True,
            "reaches": True,
            "allows": True,
        }
    ]
    missing = owner.get(f"/access/explain?user={people.author.user}&permission=release:write").json
    assert (missing["allowed"], missing["missing_roles"][0]) == (False, "operator")
    assert author.get(f"/access/explain?{query}").status_code == 403
    assert owner.get("/access/explain?user=usr_none&permission=function:write").status_code == 404
    assert owner.get("/access/explain?user=x&permission=everything").status_code == 422


def test_a_place_is_explained_by_its_name(api: ApiWorld, people: ApiPeople) -> None:
    owner, world = api.person(people.owner), api.world
    sales = world.departments.create(people.owner, name="sales")
    web = world.projects.create(people.owner, name="web", department="sales")

    def place(scope: str) -> Any:
        query = {"user": people.author.email, "permission": "function:write", "scope": scope}
        return owner.get("/access/explain", query_string=query).json

    for text in ("sales", sales.id, "acme/sales", str(sales.scope)):
        assert place(text)["place"] == "acme/sales", text
    for text in ("web", web.id, "acme/sales/web", str(web.scope)):
        assert place(text)["place"] == "acme/sales/web", text
    for text in ("", "acme", people.owner.organization, f"/{people.owner.organization}"):
        assert place(text)["place"] == "acme", text
    assert place("/")["place"] == place("system")["place"] == "system"
    assert place("acme/web")["hint"] == f"web lies at {web.scope}."
    assert place("nowhere")["code"] == "not_found"
    shadow = world.projects.create(people.owner, name="sales")
    shared = place("sales")
    assert (shared["code"], str(sales.scope) in shared["hint"]) == ("invalid", True)
    assert place(str(shadow.scope))["scope"] == str(shadow.scope)


def test_a_token_with_a_part_of_the_rights(api: ApiWorld, people: ApiPeople) -> None:
    author = api.person(people.author)
    body = {"name": "ci", "permissions": ["project:read"], "project": "main"}
    made = author.post("/tokens", body).json
    assert made["token"]["restriction"]["permissions"] == ["project:read"]
    headers = {"Authorization": f"Bearer {made['text']}"}
    robot = api.nobody()
    assert robot.get("/projects/main", headers=headers).status_code == 200
    assert robot.get("/me", headers=headers).json["restriction"] == made["token"]["restriction"]
    assert robot.get("/functions", headers=headers).status_code == 403
    assert robot.post("/functions", {"name": "x", "project": "main"}, headers=headers).status_code == 403
    assert robot.delete("/sessions", headers=headers).status_code == 403
    wide = author.post("/tokens", {"name": "x", "permissions": ["audit:read"]})
    assert (wide.status_code, wide.json["code"]) == (403, "forbidden")
    listed = {one["name"]: one for one in author.get("/tokens").json["items"]}
    assert listed["ci"]["used_at"] is not None
    assert listed["test"]["restriction"] is None


def sign_in(client: Any, password: str = PASSWORD) -> Any:
    body = {"email": "owner@acme.example", "password": password}
    return client.post("/api/v1/sessions", json=body, headers={"Origin": ORIGIN})


def test_signing_in_again_ends_the_session_that_the_browser_held(api: ApiWorld, people: ApiPeople) -> None:
    client, other = api.client(), api.client()
    sign_in(client)
    old = client.get_cookie("ingot_session_8080").value
    sign_in(other)
    sign_in(client)
    assert client.get_cookie("ingot_session_8080").value != old
    held = {"Cookie": f"ingot_session_8080={old}", **OWN}
    assert api.nobody().get("/me", headers=held).status_code == 401
    assert other.get("/api/v1/me", headers=OWN).status_code == 200


def test_a_password_change_goes_on_as_a_new_session(api: ApiWorld, people: ApiPeople) -> None:
    client, other = api.client(), api.client()
    csrf = sign_in(client).json["csrf_token"]
    sign_in(other)
    old = client.get_cookie("ingot_session_8080").value
    body = {"current_password": PASSWORD, "new_password": "another long sentence"}
    changed = client.put("/api/v1/me/password", json=body, headers={**OWN, "X-CSRF-Token": csrf})
    assert changed.status_code == 200, changed.text
    assert client.get_cookie("ingot_session_8080").value != old
    assert client.get("/api/v1/me", headers=OWN).json["csrf_token"] == changed.json["csrf_token"] != csrf
    assert other.get("/api/v1/me", headers=OWN).status_code == 401
    stale = client.delete("/api/v1/sessions", headers={**OWN, "X-CSRF-Token": csrf})
    assert (stale.status_code, stale.json["code"]) == (403, "csrf_failed")
    weak = {"current_password": "another long sentence", "new_password": "Password2024!!"}
    headers = {**OWN, "X-CSRF-Token": changed.json["csrf_token"]}
    refused = client.put("/api/v1/me/password", json=weak, headers=headers)
    assert (refused.status_code, refused.json["code"]) == (422, "invalid")


def test_sessions_are_listed_and_ended(api: ApiWorld, people: ApiPeople) -> None:
    client, other, third = api.client(), api.client(), api.client()
    csrf = sign_in(client).json["csrf_token"]
    sign_in(other)
    sign_in(third)
    headers = {**OWN, "X-CSRF-Token": csrf}
    # A request reads one moment, so it shows the uses before it.
    client.get("/api/v1/me", headers=OWN)
    listed = client.get("/api/v1/sessions", headers=OWN).json["items"]
    assert sum(one["current"] for one in listed) == 1
    current = next(one for one in listed if one["current"])
    assert (current["address"], current["used_at"] is None) == ("127.0.0.1", False)
    theirs = other.get("/api/v1/sessions", headers=OWN).json["items"]
    mine = next(one["id"] for one in theirs if one["current"])
    assert client.delete(f"/api/v1/sessions/{mine}", headers=headers).status_code == 204
    assert other.get("/api/v1/me", headers=OWN).status_code == 401
    assert client.delete("/api/v1/sessions/ses_none", headers=headers).status_code == 404
    assert client.delete("/api/v1/sessions", headers=headers).status_code == 204
    assert third.get("/api/v1/me", headers=OWN).status_code == 401
    assert [one["current"] for one in client.get("/api/v1/sessions", headers=OWN).json["items"]] == [True]


@pytest.mark.parametrize("forged", ["198.51.100.1", "a, b"])
def test_the_address_is_the_gateway_s_word(api: ApiWorld, people: ApiPeople, forged: str) -> None:
    """Nobody gets a new number of free attempts by naming another address."""
    client = api.client()
    body = {"email": "nobody@acme.example", "password": "wrong"}
    answers = [
        client.post(
            "/api/v1/sessions",
            json={**body, "email": f"user{number}@acme.example"},
            headers={"Origin": ORIGIN, "X-Forwarded-For": f"{forged}{number}"},
        ).status_code
        for number in range(32)
    ]
    assert (answers[0], answers[-1]) == (401, 429)
