"""The last owner under concurrency, on both databases, and what a move and the migrations leave behind."""

from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import Engine, text

from control_plane.domain.access import SYSTEM, Binding, Permission, Role
from control_plane.domain.identity import Actor
from control_plane.errors import Conflict, Forbidden, IngotError
from control_plane.services.places import At
from control_plane.store.control_migrations import control_migration_config, migrate_control
from tests.contract.test_services import at_once
from tests.support.builders import World

WAYS = ("remove", "withdraw", "disable")


def leave(world: World, actor: Actor, user: str, way: str) -> None:
    if way == "withdraw":
        world.members.withdraw(actor, user, role=Role.OWNER)
    elif way == "disable":
        world.members.disable(actor, user)
    else:
        world.members.remove(actor, user)


def owners(world: World, organization: str) -> tuple[str, ...]:
    with world.store.read() as unit:
        known = unit.identity.organization(organization)
        assert known is not None
        return unit.identity.holders(organization, Role.OWNER, known.scope)


@pytest.mark.parametrize("way", WAYS)
def test_two_owners_never_remove_each_other(engine: Engine, way: str) -> None:
    world = World(engine)
    first = world.owner()
    tenant = world.organizations.create(first, name="other")
    inside = world.sessions.act_in(first, tenant.id)
    for turn in range(3):
        ada = world.member(inside, f"ada{turn}", Role.OWNER)
        bea = world.member(inside, f"bea{turn}", Role.OWNER)
        world.members.withdraw(inside, first.user, role=Role.OWNER) if turn == 0 else None
        for known in owners(world, tenant.id):
            if known not in {ada.user, bea.user}:
                world.members.remove(inside, known)
        assert (
            at_once(
                lambda a=ada, b=bea: leave(world, a, b.user, way),  # type: ignore[misc]
                lambda a=ada, b=bea: leave(world, b, a.user, way),  # type: ignore[misc]
            )
            == []
        )
        assert len(owners(world, tenant.id)) == 1, way
    assert world.audit.verify(first).findings == ()


def test_many_owners_leaving_at_once_leave_one(engine: Engine) -> None:
    world = World(engine)
    first = world.owner()
    others = [world.member(first, f"owner{number}", Role.OWNER) for number in range(4)]
    actions = [
        lambda one=one: world.members.withdraw(one, one.user, role=Role.OWNER) for one in (first, *others)
    ]
    assert at_once(*actions) == []
    assert len(owners(world, first.organization)) == 1


def test_the_last_owner_of_the_system_stays_under_concurrency(engine: Engine) -> None:
    world = World(engine)
    first = world.owner()
    second = world.member(first, "otto", Role.OWNER)
    everywhere = At(system=True)
    with pytest.raises(Conflict, match="The system keeps at least one owner"):
        world.members.withdraw(first, first.user, role=Role.OWNER, at=everywhere)
    with pytest.raises(Forbidden):
        world.members.grant(second, second.user, role=Role.VIEWER, at=everywhere)
    world.members.grant(first, second.user, role=Role.OWNER, at=everywhere)
    second = world.sign_in(second.email)
    assert (
        at_once(
            lambda: world.members.withdraw(first, second.user, role=Role.OWNER, at=everywhere),
            lambda: world.members.withdraw(second, first.user, role=Role.OWNER, at=everywhere),
        )
        == []
    )
    with world.store.read() as unit:
        assert len(unit.identity.holders("", Role.OWNER, SYSTEM)) == 1


def test_who_loses_the_right_to_give_at_that_moment_gives_nothing(engine: Engine) -> None:
    world = World(engine)
    owner = world.owner()
    admin = world.member(owner, "adam", Role.ADMIN)
    target = world.member(owner, "ada", Role.VIEWER)
    # The admin's request was let in before; its rights are read again inside the transaction.
    world.members.withdraw(owner, admin.user, role=Role.ADMIN)
    with pytest.raises(IngotError):
        world.members.grant(admin, target.user, role=Role.AUTHOR)
    assert [one.role for one in world.members.get(owner, target.user).bindings] == [Role.VIEWER]


def test_a_move_takes_roles_and_tokens_along_at_once(engine: Engine) -> None:
    world = World(engine)
    owner = world.owner()
    world.departments.create(owner, name="sales")
    inner = world.departments.create(owner, name="north", parent="sales")
    author = world.member(owner, "ada", Role.AUTHOR, project="main")
    lead = world.member(owner, "lea", Role.OPERATOR, department="sales")
    token = world.tokens.create(
        author, name="ci", permissions=[Permission.PROJECT_READ], at=At(project="main")
    )
    known = world.projects.get(owner, "main")
    moved = world.projects.change(owner, "main", title=None, department="north", if_match=known.etag)
    assert moved.path == (*inner.path, inner.id)
    again = world.sessions.authenticate(token.text)
    assert world.projects.get(again, "main").id == moved.id
    assert world.sign_in(author.email).bindings == (Binding(Role.AUTHOR, moved.scope),)
    assert world.projects.get(lead, "main").id == moved.id
    with pytest.raises(Conflict, match="not empty"):
        world.departments.remove(owner, "north")
    with pytest.raises(Conflict, match="not empty"):
        world.departments.remove(owner, "sales")
    back = world.projects.change(owner, "main", title=None, department="", if_match=moved.etag)
    assert back.path == (owner.organization,)
    with pytest.raises(IngotError):
        world.projects.get(lead, "main")
    world.departments.remove(owner, "north")
    world.departments.remove(owner, "sales")
    assert world.members.list(owner).items[-1].bindings != ()
    with world.store.read() as unit:
        assert unit.identity.bindings(owner.organization, lead.user) == ()


def test_the_migration_renames_the_role_and_gives_the_system_an_owner(empty: Engine) -> None:
    migrate_control(empty, "0002")
    row = {"o": "org_1", "s": "/org_1"}
    with empty.begin() as connection:
        for user, verified in (("usr_1", "owner-link"), ("usr_2", "invitation:usr_1")):
            connection.execute(
                text(
                    "INSERT INTO users (id, email, name, verified_by, must_change_password, created_ms,"
                    " disabled, password_hash) VALUES (:u, :u, 'x', :v, false, 1, false, 'x')"
                ),
                {"u": user, "v": verified},
            )
            connection.execute(
                text('INSERT INTO bindings (organization, "user", role, scope) VALUES (:o, :u, :r, :s)'),
                {**row, "u": user, "r": "administrator"},
            )
    migrate_control(empty)
    world = World(empty)
    with world.store.read() as unit:
        assert [one.role for one in unit.identity.rights("org_1", "usr_2")] == [Role.ADMIN]
        assert unit.identity.bindings("", "usr_1") == (Binding(Role.OWNER, SYSTEM),)
        assert unit.identity.bindings("", "usr_2") == ()
    with empty.begin() as connection:
        command.downgrade(control_migration_config(connection), "0002")
        roles = connection.execute(text("SELECT organization, role FROM bindings")).all()
    assert {tuple(one) for one in roles} == {("org_1", "administrator")}
