"""Every route names its permission, and the table decides for every role and place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.routing import Rule as UrlRule

from control_plane.api.access import Place, Rule, rule_of
from control_plane.domain.access import ROLES, Permission, Role
from control_plane.domain.files import FileWish
from control_plane.domain.identity import ReviewPolicy
from control_plane.domain.sharing import Audience, ShareWish
from tests.support.api import ApiWorld, Person
from tests.support.api_fixtures import ApiPeople

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


def routes(api: ApiWorld) -> list[tuple[str, UrlRule, Rule]]:
    found = []
    for url in api.app.url_map.iter_rules():
        rule = rule_of(api.app, url.endpoint)
        assert rule is not None, f"{url.rule} names neither a permission nor a reason for having none"
        methods = sorted((url.methods or set()) - {"HEAD", "OPTIONS"})
        found += [(method, url, rule) for method in methods]
    return found


def test_every_route_names_a_permission_or_a_reason(api: ApiWorld) -> None:
    for method, url, rule in routes(api):
        assert (rule.permission is None) == bool(rule.reason), f"{method} {url.rule}"
        assert rule.permission is None or not rule.public, f"{method} {url.rule}"


def test_public_routes_are_exactly_these(api: ApiWorld) -> None:
    public = {f"{method} {url.rule}" for method, url, rule in routes(api) if rule.public}
    assert public == {
        "GET /",
        "GET /welcome",
        "GET /assets/<name>",
        "GET /docs",
        "GET /docs/<path:name>",
        "GET /livez",
        "GET /readyz",
        "GET /api/v1/openapi.json",
        "GET /api/v1/starters",
        "GET /api/v1/starters/<name>/archive",
        "PUT /api/v1/files/<file>/content",
        "GET /api/v1/files/<file>/content",
        "POST /api/v1/setup",
        "POST /api/v1/sessions",
    }


def test_a_route_without_a_rule_answers_nobody(api: ApiWorld, people: ApiPeople) -> None:
    api.app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    answer = api.person(people.owner).get("//forgotten")
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")


@dataclass(frozen=True)
class Things:
    """One of each thing that a path can name, in one place."""

    project: str
    function: str
    review: str
    api_key: str
    department: str = "dep_none"
    organization: str = "org_none"
    file: str = "file_none"
    share: str = "shr_none"

    def path(self, url: UrlRule) -> str:
        values = {
            "project": self.project,
            "function": self.function,
            "review": self.review,
            "api_key": self.api_key,
            "file": self.file,
            "share": self.share,
            "comment": "cmt_none",
            "number": "1",
            "name": "API_URL",
            "path": "function.py",
            "run": "run_none",
            "preview": "pvw_none",
            "export": "exp_none",
            "token": "tok_none",
            "invocation": "1-none",
            "request_id": "none",
            "session": "ses_none",
            "organization": self.organization,
            "department": self.department,
            "role": "viewer",
            "tag": "canary",
            "user": "usr_none",
        }
        path = url.rule
        for argument in url.arguments:
            for form in (f"<{argument}>", f"<int:{argument}>", f"<path:{argument}>"):
                path = path.replace(form, values[argument])
        return path


def make_departments(api: ApiWorld, people: ApiPeople) -> tuple[Any, Any]:
    """Return two departments, each with one project: `own` in `sales`, `sibling` in `legal`."""
    world = api.world
    sales = world.departments.create(people.owner, name="sales")
    legal = world.departments.create(people.owner, name="legal")
    world.projects.create(people.owner, name="own", department="sales")
    world.projects.create(people.owner, name="sibling", department="legal")
    return sales, legal


def make_things(
    api: ApiWorld, people: ApiPeople, project: str, name: str, department: str = "dep_none"
) -> Things:
    world = api.world
    world.functions.create(people.owner, project=project, name=name)
    # Nobody approves here, and where approvals are asked for nothing is shared without.
    etag = world.projects.get(people.owner, project).etag
    world.projects.set_policy(people.owner, project, ReviewPolicy(approvals=0), if_match=etag)
    version = world.frozen(people.owner, name)
    review = world.reviews.submit(people.owner, name, version.number)
    key = world.api_keys.create(people.owner, project=project, name="key")
    file, _ = world.files.announce(people.owner, project=project, wish=FileWish("a.csv", 1))
    wish = ShareWish(version.number, unreviewed=True)
    share = world.sharing.create(people.owner, name, wish, audience=Audience.PROJECT)
    return Things(project, version.function, review.id, key.key.id, department, file=file.id, share=share.id)


def attempts(api: ApiWorld, person: Person, things: Things) -> Iterator[tuple[str, Rule, Any]]:
    for method, url, rule in routes(api):
        if rule.permission is None or rule.place in {Place.ANYWHERE, Place.ORGANIZATION, Place.SYSTEM}:
            continue
        # A body that fits nothing: whoever is let in meets 4xx of the input, nothing changes.
        answer = person.send(method, "/" + things.path(url), json={"none": 1} if method in UNSAFE else None)
        yield f"{method} {url.rule}", rule, answer


def is_refusal(answer: Any) -> bool:
    """Say whether the permission is what was missing; a rule about one's own review is another no."""
    return answer.status_code == 403 and "needs the permission" in answer.json["detail"]


def is_hidden(answer: Any) -> bool:
    return bool(answer.status_code == 404 and answer.json["code"] == "not_found")


PLACES = [(role, place) for role in Role for place in ("project", "department")]
PLACES.remove((Role.GUEST, "department"))


@pytest.mark.parametrize(("role", "place"), PLACES)
def test_each_role_passes_exactly_the_routes_of_its_permissions(
    api: ApiWorld, people: ApiPeople, role: Role, place: str
) -> None:
    sales, legal = make_departments(api, people)
    mine = make_things(api, people, "own", "mine", sales.id)
    other = make_things(api, people, "sibling", "other", legal.id)
    bound = {"project": "own"} if place == "project" else {"department": "sales"}
    person = api.person(api.world.member(people.owner, "pat", role, **bound))
    tried = 0
    for where, rule, answer in attempts(api, person, mine):
        tried += 1
        assert answer.status_code not in {401, 500}, (where, answer.text)
        if rule.place is Place.DEPARTMENT and place == "project":
            assert is_hidden(answer), (role, where, answer.text)
            continue
        if rule.permission in ROLES[role]:
            assert not is_refusal(answer), (role, where, answer.text)
        else:
            # Who may not even see a thing does not learn which permission is missing.
            blind = role in {Role.BILLING, Role.GUEST} and is_hidden(answer)
            assert is_refusal(answer) or blind, (role, where, answer.text)
    assert tried > 35
    for where, _rule, answer in attempts(api, person, other):
        assert is_hidden(answer), (role, where, answer.text)


def test_another_organization_sees_nothing_that_is_there(api: ApiWorld, people: ApiPeople) -> None:
    home = api.world.projects.get(people.owner, "main").id
    mine = make_things(api, people, home, "mine")
    stranger = api.person(make_stranger(api))
    absent = Things("prj_none", "fn_none", "rev_none", "key_none")
    seen = {where: answer for where, _, answer in attempts(api, stranger, mine)}
    unseen = {where: answer for where, _, answer in attempts(api, stranger, absent)}
    for where, answer in seen.items():
        assert answer.status_code == unseen[where].status_code == 404, (where, answer.text)
        same = {"code", "title", "status", "hint", "type"}
        assert {name: answer.json.get(name) for name in same} == {
            name: unseen[where].json.get(name) for name in same
        }, where
    for path in ("/functions", "/reviews", "/projects", "/audit", "/events"):
        assert "mine" not in stranger.get(path).text


def make_stranger(api: ApiWorld) -> Any:
    """Return the owner of a second organization."""
    founder = api.world.sign_in("owner@acme.example")
    api.world.organizations.create(founder, name="other")
    return api.world.member(api.world.sessions.act_in(founder, "other"), "eve", Role.OWNER)


def test_routes_of_the_system_need_a_role_in_the_system(api: ApiWorld, people: ApiPeople) -> None:
    second = api.person(api.world.member(people.owner, "otto", Role.OWNER))
    stranger = api.person(make_stranger(api))
    first = api.person(people.owner)
    tried = 0
    for method, url, rule in routes(api):
        if rule.place is not Place.SYSTEM:
            continue
        tried += 1
        path, body = "/" + Things("", "", "", "").path(url), {"none": 1} if method in UNSAFE else None
        assert is_refusal(second.send(method, path, json=body)), path
        assert is_refusal(stranger.send(method, path, json=body)), path
        assert not is_refusal(first.send(method, path, json=body)), path
    assert tried >= 3


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.GUEST])
def test_organization_routes_need_the_role_in_the_organization(
    api: ApiWorld, people: ApiPeople, role: Role
) -> None:
    everywhere = api.person(api.world.member(people.owner, "pat", role))
    project = api.world.projects.create(people.owner, name="own")
    only_there = api.person(api.world.member(people.owner, "kim", role, project=project.id))
    api.world.departments.create(people.owner, name="sales")
    only_below = api.person(api.world.member(people.owner, "lea", role, department="sales"))
    for method, url, rule in routes(api):
        if rule.place is not Place.ORGANIZATION or rule.permission is None:
            continue
        path = "/" + Things("", "", "", "", organization=people.owner.organization).path(url)
        body = {"none": 1} if method in UNSAFE else None
        answer = everywhere.send(method, path, json=body)
        assert is_refusal(answer) == (rule.permission not in ROLES[role]), (role, path, answer.text)
        for person in (only_there, only_below):
            assert is_refusal(person.send(method, path, json=body)), (role, path)


def test_nobody_passes_a_route_that_is_not_public(api: ApiWorld) -> None:
    for method, url, rule in routes(api):
        if rule.public:
            continue
        answer = api.nobody().send(method, "/" + Things("p", "f", "r", "k").path(url))
        assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated"), url.rule
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_head_and_options_ask_for_the_same_permission(api: ApiWorld, people: ApiPeople) -> None:
    make_things(api, people, "main", "mine")
    reviewer = api.person(people.reviewer)
    for method in ("HEAD", "OPTIONS"):
        assert reviewer.send(method, "/audit").status_code == 403
        assert api.nobody().send(method, "/functions/mine").status_code == 401


def test_a_one_time_password_opens_nothing_but_its_change(api: ApiWorld, people: ApiPeople) -> None:
    invited = api.world.members.invite(people.owner, email="new@acme.example", name="New", role=Role.VIEWER)
    client = api.client()
    own = {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}
    opened = client.post(
        "/api/v1/sessions",
        json={"email": "new@acme.example", "password": invited.one_time_password},
        headers=own,
    )
    assert opened.json["must_change_password"] is True
    refused = client.get("/api/v1/functions", headers=own)
    assert (refused.status_code, refused.json["code"]) == (403, "forbidden")
    changed = client.put(
        "/api/v1/me/password",
        json={"current_password": invited.one_time_password, "new_password": "a sentence of my own"},
        headers={**own, "X-CSRF-Token": opened.json["csrf_token"]},
    )
    assert changed.status_code == 200, changed.text
    assert client.get("/api/v1/functions", headers=own).status_code == 200


def test_permissions_without_a_route_are_known(api: ApiWorld) -> None:
    used = {rule.permission for _, _, rule in routes(api)}
    assert set(Permission) - used == set()
