"""Owner's claim, invitations, roles, passwords, sessions and tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from control_plane.domain.access import Permission, Role, Scope
from control_plane.domain.credentials import CredentialKind, make_text
from control_plane.domain.identity import Actor, ReviewPolicy
from control_plane.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    TooMany,
    Unauthenticated,
)
from control_plane.services.attempts import wait_after
from control_plane.services.places import At
from tests.support.builders import PASSWORD, World
from tests.unit.conftest import People


def claim(world: World, text: str, organization: str = "acme") -> None:
    world.accounts.claim(
        text, email="olga@acme.example", name="Olga", password=PASSWORD, organization=organization
    )


def test_the_owner_link_works_once(world: World) -> None:
    first = world.accounts.open_claim()
    second = world.accounts.open_claim()
    with pytest.raises(Unauthenticated):
        claim(world, first)
    claim(world, second)
    with pytest.raises(Unauthenticated):
        claim(world, second, "other")
    assert world.accounts.open_claim() == ""
    assert world.sign_in("OLGA@acme.example ").email == "olga@acme.example"


def test_the_owner_link_expires(world: World) -> None:
    text = world.accounts.open_claim()
    world.clock.advance(days=8)
    with pytest.raises(Unauthenticated):
        claim(world, text)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("email", {"email": "nobody"}),
        ("password", {"password": "short"}),
        ("password", {"password": "olga@acme.example"}),
        ("password", {"password": "aaaaaaaaaaaaaaaa"}),
        ("organization", {"organization": "Acme!"}),
        ("name", {"name": " "}),
    ],
)
def test_a_claim_is_checked_before_the_link_is_used(world: World, field: str, change: dict[str, str]) -> None:
    text = world.accounts.open_claim()
    good = {"email": "olga@acme.example", "name": "Olga", "password": PASSWORD, "organization": "acme"}
    with pytest.raises(Invalid) as caught:
        world.accounts.claim(text, **(good | change))
    assert caught.value.field == field
    claim(world, text)


def test_an_invited_member_must_change_the_one_time_password(world: World, people: People) -> None:
    invited = world.members.invite(people.owner, email="new@acme.example", name="New", role=Role.AUTHOR)
    actor = world.sign_in("new@acme.example", invited.one_time_password)
    assert actor.must_change_password
    with pytest.raises(Forbidden, match="must be changed"):
        world.functions.create(actor, project="main", name="x")
    with pytest.raises(Forbidden, match="must be changed"):
        world.tokens.create(actor, name="x")
    with pytest.raises(Forbidden, match="wrong"):
        world.accounts.change_password(actor, current="nonsense", new=PASSWORD)
    once = invited.one_time_password
    with pytest.raises(Invalid, match="old one"):
        world.accounts.change_password(actor, current=once, new=once)
    other = world.sign_in("new@acme.example", invited.one_time_password)
    world.accounts.change_password(actor, current=invited.one_time_password, new=PASSWORD)
    assert not world.sign_in("new@acme.example").must_change_password
    ended = world.sessions.login(email="new@acme.example", password=PASSWORD)
    with world.changes.read(other) as view:
        stored = view.unit.credentials.get(other.organization, other.credential)
    assert stored is not None
    assert stored.revoked_ms
    assert world.sessions.authenticate(ended.text).user == actor.user


def test_who_vouched_shows_in_the_audit(world: World, people: People) -> None:
    entries = world.audit.entries(people.owner).items
    invited = [entry for entry in entries if entry.action == "member.invite"]
    assert {entry.details["vouched_by"] for entry in invited} == {people.owner.user}
    assert all(PASSWORD not in str(entry) and "once_" not in str(entry) for entry in entries)


def test_inviting_a_known_person_adds_a_role(world: World, people: People) -> None:
    again = world.members.invite(
        people.owner, email=people.author.email, name="Ada", role=Role.OPERATOR, at=At(project="main")
    )
    assert again.one_time_password == ""
    assert again.user.id == people.author.user
    members = {one.user.id: one for one in world.members.list(people.owner).items}
    assert [binding.role for binding in members[people.author.user].bindings] == [Role.AUTHOR, Role.OPERATOR]


def test_nobody_gives_what_they_do_not_hold(world: World, people: People) -> None:
    admin = world.member(people.owner, "adam", Role.ADMIN)
    with pytest.raises(Forbidden):
        world.members.invite(admin, email="x@y.z", name="X", role=Role.OWNER)
    with pytest.raises(Forbidden):
        world.members.remove(admin, people.owner.user)
    with pytest.raises(Forbidden):
        world.members.invite(people.author, email="x@y.z", name="X", role=Role.VIEWER)
    with pytest.raises(Forbidden):
        world.members.list(people.author)


def test_roles_are_given_and_taken(world: World, people: People) -> None:
    member = world.members.grant(people.owner, people.author.user, role=Role.REVIEWER)
    again = world.members.grant(people.owner, people.author.user, role=Role.REVIEWER)
    assert again.bindings == member.bindings
    left = world.members.withdraw(people.owner, people.author.user, role=Role.REVIEWER)
    assert left is not None
    assert [binding.role for binding in left.bindings] == [Role.AUTHOR]
    with pytest.raises(Conflict, match="does not hold"):
        world.members.withdraw(people.owner, people.author.user, role=Role.REVIEWER)
    assert world.members.withdraw(people.owner, people.author.user, role=Role.AUTHOR) is None
    with pytest.raises(NotFound):
        world.members.grant(people.owner, "usr_unknown", role=Role.VIEWER)


def test_the_last_owner_stays(world: World, people: People) -> None:
    leaving: tuple[Callable[[], object], ...] = (
        lambda: world.members.remove(people.owner, people.owner.user),
        lambda: world.members.withdraw(people.owner, people.owner.user, role=Role.OWNER),
    )
    for leave in leaving:
        with pytest.raises(Conflict, match="at least one owner"):
            leave()
    second = world.member(people.owner, "otto", Role.OWNER)
    world.members.remove(second, people.owner.user)
    assert people.owner.user not in {one.user.id for one in world.members.list(second).items}


def test_a_removed_member_is_out_at_once(world: World, people: People) -> None:
    token = world.tokens.create(people.author, name="laptop")
    assert world.sessions.authenticate(token.text).user == people.author.user
    world.members.remove(people.owner, people.author.user)
    with pytest.raises(Unauthenticated):
        world.sessions.authenticate(token.text)


def test_wrong_guesses_wait_longer_and_longer(world: World, people: People) -> None:
    for _ in range(4):
        with pytest.raises(Unauthenticated):
            world.sessions.login(email=people.author.email, password="wrong")
    with pytest.raises(TooMany, match="wait 1 s"):
        world.sessions.login(email=people.author.email, password=PASSWORD)
    world.clock.advance(seconds=1)
    world.sign_in(people.author.email)
    world.sign_in(people.author.email)
    with pytest.raises(Unauthenticated):
        world.sessions.login(email="x@acme.example", password="wrong")
    world.clock.advance(hours=25)
    with pytest.raises(Unauthenticated):
        world.sessions.login(email="y@acme.example", password="wrong")
    with world.store.read() as unit:
        assert unit.identity.login_failures("x@acme.example") == (0, 0)
    assert [wait_after(n) for n in (0, 3, 4, 5, 6)] == [0, 0, 1_000, 2_000, 4_000]
    assert wait_after(10_000) == 900_000


def test_an_unknown_address_answers_like_a_wrong_password(world: World, people: People) -> None:
    messages = set()
    for email in ("nobody@acme.example", people.author.email):
        with pytest.raises(Unauthenticated) as caught:
            world.sessions.login(email=email, password="wrong")
        messages.add(caught.value.message)
    assert len(messages) == 1


def test_a_session_ends_by_logout_and_by_time(world: World, people: People) -> None:
    opened = world.sessions.login(email=people.author.email, password=PASSWORD)
    actor = world.sessions.authenticate(opened.text, request="req_1", address="127.0.0.1")
    assert (actor.request, actor.address) == ("req_1", "127.0.0.1")
    world.sessions.logout(actor)
    with pytest.raises(Unauthenticated):
        world.sessions.authenticate(opened.text)
    later = world.sessions.login(email=people.author.email, password=PASSWORD)
    world.clock.advance(hours=12)
    with pytest.raises(Unauthenticated):
        world.sessions.authenticate(later.text)


@pytest.mark.parametrize(
    "text", ["", "ings_x", make_text(CredentialKind.SESSION, 1), make_text("ing_live", 1)]
)
def test_other_texts_prove_nothing(world: World, text: str) -> None:
    with pytest.raises(Unauthenticated):
        world.sessions.authenticate(text)


def test_a_token_is_no_session_and_ends_by_hand(world: World, people: People) -> None:
    made = world.tokens.create(people.author, name="laptop", days=1)
    assert [token.name for token in world.tokens.list(people.author)] == ["laptop"]
    world.sessions.logout(replace(people.author, credential=made.token.id))
    assert world.sessions.authenticate(made.text)
    with pytest.raises(NotFound):
        world.tokens.revoke(people.reviewer, made.token.id)
    world.tokens.revoke(people.author, made.token.id)
    with pytest.raises(Unauthenticated):
        world.sessions.authenticate(made.text)


@pytest.mark.parametrize("wrong", [{"name": ""}, {"name": "x", "days": 0}, {"name": "x", "days": 400}])
def test_a_token_has_a_name_and_an_end(world: World, people: People, wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        world.tokens.create(people.author, **wrong)  # type: ignore[arg-type]


def test_a_person_acts_only_in_their_own_organizations(world: World, people: People) -> None:
    mine = world.organizations.list(people.author).items
    assert [one.name for one in mine] == ["acme"]
    assert world.sessions.act_in(people.author, "acme").organization == people.author.organization
    with pytest.raises(NotFound):
        world.sessions.act_in(people.author, "other")
    with pytest.raises(Unauthenticated, match="not a member"):
        world.sessions.login(email=people.author.email, password=PASSWORD, organization="other")
    assert world.organizations.get(people.author).name == "acme"
    with pytest.raises(NotFound):
        world.organizations.get(Actor.nobody())


def test_projects_have_names_titles_and_policies(world: World, people: People) -> None:
    personal = world.projects.create(people.owner, name="ada", policy=ReviewPolicy(approvals=0))
    assert [one.name for one in world.projects.list(people.author)] == ["main", "ada"]
    assert world.projects.get(people.author, personal.id) == personal
    with pytest.raises(Conflict):
        world.projects.create(people.owner, name="ada")
    with pytest.raises(Invalid):
        world.projects.create(people.owner, name="b", title="x" * 101)
    with pytest.raises(Forbidden):
        world.projects.create(people.author, name="c")
    with pytest.raises(PreconditionRequired):
        world.projects.set_policy(people.owner, "ada", ReviewPolicy(2), if_match="")
    with pytest.raises(PreconditionFailed):
        world.projects.set_policy(people.owner, "ada", ReviewPolicy(2), if_match='"p9"')
    changed = world.projects.set_policy(people.owner, "ada", ReviewPolicy(2), if_match='"p1"')
    assert (changed.policy.approvals, changed.etag) == (2, "p2")


def test_a_member_of_one_project_does_not_see_another(world: World, people: People) -> None:
    world.projects.create(people.owner, name="side")
    guest = world.member(people.owner, "gil", Role.AUTHOR, project="side")
    world.drafted(people.author)
    assert [one.name for one in world.projects.list(guest)] == ["side"]
    assert world.functions.list(guest).items == ()
    for look in (
        lambda: world.projects.get(guest, "main"),
        lambda: world.functions.get(guest, "orders"),
        lambda: world.functions.list(guest, project="main"),
        lambda: world.access.require(guest, Permission.FUNCTION_READ, "main"),
    ):
        with pytest.raises(NotFound):
            look()


def test_edges_can_ask_before_they_call(world: World, people: People) -> None:
    scope = Scope((people.author.organization,))
    assert world.access.may(people.author, Permission.FUNCTION_WRITE, scope)
    assert not world.access.may(people.author, Permission.REVIEW_DECIDE, scope)
    assert Permission.FUNCTION_WRITE in world.access.permissions(people.author, scope)
    assert world.access.permissions(people.author, Scope(("org_other",))) == ()
    world.access.require(people.author, Permission.FUNCTION_WRITE, "main")
    with pytest.raises(Forbidden):
        world.access.require(people.author, Permission.AUDIT_READ)
    last = world.audit.entries(people.owner, limit=100).items[-1]
    assert (last.outcome, last.actor["user"]) == ("denied", people.author.user)


def test_who_lost_the_last_role_is_out_at_once(world: World, people: People) -> None:
    opened = world.sessions.login(email=people.author.email, password=PASSWORD)
    world.members.withdraw(people.owner, people.author.user, role=Role.AUTHOR)
    with pytest.raises(Unauthenticated):
        world.sessions.authenticate(opened.text)
