"""Departments, disabled members, roles above organizations, restricted tokens, sessions and explanations."""

from __future__ import annotations

import pytest

from control_plane.domain.access import SYSTEM, Permission, Role
from control_plane.domain.credentials import CredentialKind
from control_plane.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    TooMany,
    Unauthenticated,
)
from control_plane.services.places import At
from tests.support.builders import PASSWORD, World
from tests.unit.conftest import People


def test_a_role_in_a_department_reaches_what_lies_below_it_alone(world: World, people: People) -> None:
    sales = world.departments.create(people.owner, name="sales", title="Sales")
    world.departments.create(people.owner, name="north", parent="sales")
    world.projects.create(people.owner, name="shop", department="north")
    lead = world.member(people.owner, "lea", Role.ADMIN, department="sales")
    assert [one.name for one in world.projects.list(lead)] == ["shop"]
    assert [one.name for one in world.projects.list(people.owner, department="sales")] == ["shop"]
    assert [one.name for one in world.departments.list(lead)] == ["sales", "north"]
    assert world.projects.create(lead, name="till", department=sales.id).department == sales.id
    with pytest.raises(Forbidden):
        world.projects.create(lead, name="elsewhere")
    with pytest.raises(NotFound):
        world.projects.get(lead, "main")
    with pytest.raises(Forbidden):
        world.departments.create(lead, name="second")
    assert world.departments.create(lead, name="south", parent="north").parent.startswith("dep_")
    world.members.invite(lead, email="new@acme.example", name="New", role=Role.AUTHOR, at=At(project="shop"))
    with pytest.raises(Forbidden):
        world.members.invite(lead, email="too@acme.example", name="Too", role=Role.AUTHOR)


def test_departments_have_names_titles_and_a_depth(world: World, people: People) -> None:
    made = world.departments.create(people.owner, name="d0")
    with pytest.raises(Conflict):
        world.departments.create(people.owner, name="d0")
    with pytest.raises(PreconditionFailed):
        world.departments.change(people.owner, "d0", title="New", if_match='"d7"')
    assert world.departments.change(people.owner, made.id, title="New", if_match=made.etag).title == "New"
    for number in range(1, 5):
        world.departments.create(people.owner, name=f"d{number}", parent=f"d{number - 1}")
    with pytest.raises(Invalid, match="at most 5 deep"):
        world.departments.create(people.owner, name="d5", parent="d4")
    with pytest.raises(NotFound):
        world.departments.get(people.owner, "none")


def test_who_moves_a_project_may_make_projects_where_it_goes(world: World, people: People) -> None:
    for name in ("sales", "legal"):
        world.departments.create(people.owner, name=name)
    world.projects.create(people.owner, name="shop", department="sales")
    lead = world.member(people.owner, "lea", Role.ADMIN, department="sales")
    known = world.projects.get(lead, "shop")
    with pytest.raises(NotFound):
        world.projects.change(lead, "shop", title=None, department="legal", if_match=known.etag)
    with pytest.raises(Forbidden):
        world.projects.change(lead, "shop", title=None, department="", if_match=known.etag)
    world.members.grant(people.owner, lead.user, role=Role.VIEWER, at=At(department="legal"))
    with pytest.raises(Forbidden):
        world.projects.change(lead, "shop", title=None, department="legal", if_match=known.etag)
    world.members.grant(people.owner, lead.user, role=Role.ADMIN, at=At(department="legal"))
    lead = world.sign_in(lead.email)
    moved = world.projects.change(lead, "shop", title="Shop", department="legal", if_match=known.etag)
    assert (moved.title, moved.etag) == ("Shop", "p2")
    again = world.projects.change(lead, "shop", title="Shop", department="legal", if_match="p2")
    assert again == moved


def test_a_disabled_member_is_out_here_and_nowhere_else(world: World, people: People) -> None:
    other = world.organizations.create(people.owner, name="other")
    inside = world.sessions.act_in(people.owner, "other")
    world.members.invite(inside, email=people.author.email, name="Ada", role=Role.VIEWER)
    token = world.tokens.create(people.author, name="laptop")
    disabled = world.members.disable(people.owner, people.author.user)
    assert disabled.disabled_ms == world.clock.now_ms()
    assert world.members.disable(people.owner, people.author.user) == disabled
    with pytest.raises(Unauthenticated):
        world.sessions.authenticate(token.text)
    with pytest.raises(Unauthenticated):
        world.sessions.login(email=people.author.email, password=PASSWORD, organization="acme")
    assert world.sign_in(people.author.email).organization == other.id
    told = world.access.explain(
        people.owner, user=people.author.email, permission=Permission.FUNCTION_WRITE, scope="main"
    )
    assert (told.explanation.allowed, told.allowed, told.disabled) == (True, False, True)
    assert world.members.enable(people.owner, people.author.user).disabled_ms == 0
    with pytest.raises(Unauthenticated):
        world.sessions.authenticate(token.text)
    opened = world.sessions.login(email=people.author.email, password=PASSWORD, organization="acme")
    assert world.sessions.authenticate(opened.text).bindings == people.author.bindings


def test_a_disabled_reviewer_s_approval_does_not_count(world: World, people: People) -> None:
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    world.members.disable(people.owner, people.reviewer.user)
    with pytest.raises(Conflict, match="approval"):
        world.released(people.operator, version)


def test_who_may_be_disabled(world: World, people: People) -> None:
    admin = world.member(people.owner, "adam", Role.ADMIN)
    second = world.member(people.owner, "otto", Role.OWNER)
    for actor, user in ((admin, second.user), (second, people.owner.user), (people.author, admin.user)):
        with pytest.raises(Forbidden):
            world.members.disable(actor, user)
    with pytest.raises(Conflict, match="yourself"):
        world.members.disable(second, second.user)
    with pytest.raises(NotFound):
        world.members.disable(people.owner, "usr_none")
    world.members.disable(people.owner, second.user)
    with pytest.raises(Conflict, match="at least one owner"):
        world.members.remove(people.owner, people.owner.user)
    world.members.remove(people.owner, second.user)
    world.members.invite(people.owner, email=second.email, name="Otto", role=Role.VIEWER)
    assert world.sign_in(second.email).bindings[0].role is Role.VIEWER


def test_only_the_system_makes_organizations(world: World, people: People) -> None:
    second = world.member(people.owner, "otto", Role.OWNER)
    with pytest.raises(Forbidden):
        world.organizations.create(second, name="mine")
    made = world.organizations.create(people.owner, name="other", title="Other Ltd")
    with pytest.raises(Conflict):
        world.organizations.create(people.owner, name="other")
    assert [one.name for one in world.organizations.list(people.owner).items] == ["acme", "other"]
    assert [one.name for one in world.organizations.list(second).items] == ["acme"]
    first = world.organizations.list(people.owner, limit=1)
    assert world.organizations.list(people.owner, after=first.next).items == (made,)
    for name in (made.id, "other", "org_none", "none"):
        with pytest.raises(NotFound):
            world.organizations.named(second, name)
    changed = world.organizations.change(people.owner, "other", title="Other Inc", if_match=made.etag)
    assert (changed.title, changed.etag) == ("Other Inc", "o2")
    with pytest.raises(NotFound):
        world.organizations.change(second, "other", title="Mine", if_match="o2")
    inside = world.sessions.act_in(people.owner, "other")
    actions = [entry.action for entry in world.audit.entries(inside, limit=10).items]
    assert actions == ["organization.create", "organization.create", "organization.change"]
    assert [one.name for one in world.projects.list(inside)] == ["main"]


def test_a_role_in_the_system_opens_every_organization_by_name(world: World, people: People) -> None:
    world.organizations.create(people.owner, name="other")
    auditor = world.member(people.owner, "tia", Role.AUDITOR)
    with pytest.raises(Unauthenticated):
        world.sessions.login(email=auditor.email, password=PASSWORD, organization="other")
    everywhere = At(system=True)
    world.members.grant(people.owner, auditor.user, role=Role.AUDITOR, at=everywhere)
    opened = world.sessions.login(email=auditor.email, password=PASSWORD, organization="other")
    inside = world.sessions.authenticate(opened.text)
    assert [one.scope for one in inside.bindings] == [SYSTEM]
    assert world.audit.entries(inside, limit=10).items
    with pytest.raises(Forbidden):
        world.projects.create(inside, name="mine")
    auditor = world.sign_in(auditor.email)
    assert {one.user.id for one in world.members.system_bindings(auditor)} == {
        people.owner.user,
        auditor.user,
    }
    world.members.withdraw(people.owner, auditor.user, role=Role.AUDITOR, at=everywhere)
    with pytest.raises(Unauthenticated):
        world.sessions.authenticate(opened.text)
    with pytest.raises(Conflict, match="does not hold"):
        world.members.withdraw(people.owner, auditor.user, role=Role.AUDITOR, at=everywhere)


def test_a_guest_belongs_to_one_project(world: World, people: People) -> None:
    world.departments.create(people.owner, name="sales")
    for at in (At(), At(department="sales"), At(system=True)):
        with pytest.raises(Invalid, match="guest"):
            world.members.grant(people.owner, people.author.user, role=Role.GUEST, at=at)
    guest = world.member(people.owner, "gil", Role.GUEST, project="main")
    name = world.drafted(people.author)
    assert world.functions.get(guest, name).name == name
    with pytest.raises(Forbidden):
        world.members.list(guest)
    with pytest.raises(Invalid, match="different places"):
        world.members.grant(
            people.owner, guest.user, role=Role.VIEWER, at=At(project="main", department="sales")
        )
    with pytest.raises(Invalid, match="into an organization"):
        world.members.invite(
            people.owner, email="x@y.example", name="X", role=Role.VIEWER, at=At(system=True)
        )


def test_a_token_carries_a_part_of_its_owner_s_rights(world: World, people: People) -> None:
    world.drafted(people.author)
    some = [Permission.PROJECT_READ, Permission.FUNCTION_READ]
    made = world.tokens.create(people.author, name="ci", permissions=some, at=At(project="main"))
    robot = world.sessions.authenticate(made.text)
    assert world.functions.get(robot, "orders")
    for refused in (
        lambda: world.functions.create(robot, project="main", name="more"),
        lambda: world.tokens.create(robot, name="x", permissions=[Permission.FUNCTION_WRITE]),
        lambda: world.tokens.create(
            robot, name="x", permissions=[Permission.FUNCTION_WRITE], at=At(project="main")
        ),
        lambda: world.accounts.change_password(robot, current=PASSWORD, new="another long sentence"),
        lambda: world.sessions.revoke_others(robot),
        lambda: world.sessions.revoke(robot, "ses_any"),
    ):
        with pytest.raises(Forbidden):
            refused()
    child = world.tokens.create(robot, name="child").token
    assert child.restriction == made.token.restriction
    assert [one.name for one in world.organizations.list(robot).items] == ["acme"]
    with pytest.raises(Forbidden):
        world.tokens.create(people.author, name="x", permissions=[Permission.REVIEW_DECIDE])
    every = world.tokens.create(people.author, name="main only", at=At(project="main")).token.restriction
    assert every is not None
    assert Permission.FUNCTION_WRITE in every.permissions
    assert Permission.REVIEW_DECIDE not in every.permissions
    world.members.grant(people.owner, people.author.user, role=Role.BILLING)
    world.members.withdraw(people.owner, people.author.user, role=Role.AUTHOR)
    with pytest.raises(NotFound):
        world.functions.get(world.sessions.authenticate(made.text), "orders")


def test_what_ended_with_the_last_role_does_not_come_back_with_a_new_one(
    world: World, people: People
) -> None:
    made = world.tokens.create(people.author, name="laptop")
    assert world.members.withdraw(people.owner, people.author.user, role=Role.AUTHOR) is None
    world.members.invite(people.owner, email=people.author.email, name="Ada", role=Role.VIEWER)
    with pytest.raises(Unauthenticated):
        world.sessions.authenticate(made.text)
    assert world.sign_in(people.author.email).bindings[0].role is Role.VIEWER


def test_use_is_noted_to_the_minute(world: World, people: People) -> None:
    made = world.tokens.create(people.author, name="laptop")
    actor = world.sessions.authenticate(made.text)

    def used() -> int:
        return next(one.used_ms for one in world.tokens.list(people.author) if one.id == made.token.id)

    assert used() == 0
    world.sessions.note_use(actor)
    first = used()
    assert first == world.clock.now_ms()
    world.clock.advance(seconds=59)
    world.sessions.note_use(actor)
    assert used() == first
    world.clock.advance(seconds=1)
    world.sessions.note_use(actor)
    assert used() == first + 60_000


def test_sessions_are_listed_and_ended_by_their_owner_alone(world: World, people: People) -> None:
    texts = [
        world.sessions.login(email=people.author.email, password=PASSWORD, address="192.0.2.7").text
        for _ in range(3)
    ]
    mine, second, third = (world.sessions.authenticate(text) for text in texts)
    listed = world.sessions.list(mine)
    assert {mine.credential, second.credential, third.credential} <= {one.id for one in listed}
    assert {one.address for one in listed if one.id == mine.credential} == {"192.0.2.7"}
    with pytest.raises(NotFound):
        world.sessions.revoke(people.reviewer, second.credential)
    world.sessions.revoke(mine, second.credential)
    with pytest.raises(Unauthenticated):
        world.sessions.authenticate(texts[1])
    assert world.sessions.revoke_others(mine) >= 1
    assert [one.id for one in world.sessions.list(mine)] == [mine.credential]
    with pytest.raises(Unauthenticated):
        world.sessions.authenticate(texts[2])
    assert world.sessions.authenticate(texts[0]).user == mine.user


def test_a_password_change_rotates_the_session(world: World, people: People) -> None:
    opened = world.sessions.login(email=people.author.email, password=PASSWORD)
    actor = world.sessions.authenticate(opened.text)
    text = world.accounts.change_password(actor, current=PASSWORD, new="another long sentence")
    with pytest.raises(Unauthenticated):
        world.sessions.authenticate(opened.text)
    again = world.sessions.authenticate(text)
    assert (again.user, again.credential == actor.credential) == (actor.user, False)
    with world.store.read() as unit:
        sessions = unit.credentials.of_user(actor.user, CredentialKind.SESSION)
    assert [one.id for one in sessions if not one.revoked_ms] == [again.credential]


def test_an_address_that_guesses_many_accounts_waits(world: World, people: People) -> None:
    def guess(number: int, address: str) -> None:
        world.sessions.login(email=f"user{number}@acme.example", password="wrong", address=address)

    for number in range(31):
        with pytest.raises(Unauthenticated):
            guess(number, "192.0.2.7")
    with pytest.raises(TooMany):
        guess(99, "192.0.2.7")
    with pytest.raises(Unauthenticated):
        guess(99, "192.0.2.8")
    world.clock.advance(seconds=1)
    # A success takes only itself back, so that an own account does not wash guesses away.
    world.sessions.login(email=people.author.email, password=PASSWORD, address="192.0.2.7")
    world.clock.advance(seconds=1)
    with pytest.raises(Unauthenticated):
        guess(100, "192.0.2.7")
    with pytest.raises(TooMany):
        guess(101, "192.0.2.7")


def test_explaining_names_what_allows_and_what_is_missing(world: World, people: People) -> None:
    ask = people.owner, people.author.user
    told = world.access.explain(ask[0], user=ask[1], permission=Permission.FUNCTION_WRITE, scope="main")
    assert told.allowed
    assert [reason.allows for reason in told.explanation.reasons] == [True]
    told = world.access.explain(ask[0], user=ask[1], permission=Permission.RELEASE_WRITE)
    assert (told.allowed, told.explanation.lacking[0]) == (False, Role.OPERATOR)
    main = world.projects.get(people.owner, "main")
    by_scope = world.access.explain(
        ask[0], user=ask[1], permission=Permission.FUNCTION_WRITE, scope=str(main.scope)
    )
    assert by_scope.explanation.scope == main.scope
    system = world.access.explain(
        ask[0], user=people.owner.user, permission=Permission.ORGANIZATION_CREATE, scope="/"
    )
    assert system.allowed
    with pytest.raises(Forbidden):
        world.access.explain(people.author, user=ask[1], permission=Permission.FUNCTION_READ)
    for user, scope in (("usr_none", ""), ("nobody@x.example", ""), (ask[1], "prj_none"), (ask[1], "/org_x")):
        with pytest.raises(NotFound):
            world.access.explain(people.owner, user=user, permission=Permission.FUNCTION_READ, scope=scope)
    world.departments.create(people.owner, name="sales")
    world.projects.change(people.owner, "main", title=None, department="sales", if_match=main.etag)
    with pytest.raises(Invalid, match="not a place now"):
        world.access.explain(
            people.owner, user=ask[1], permission=Permission.FUNCTION_READ, scope=str(main.scope)
        )
