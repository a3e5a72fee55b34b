"""Two tenants at work at the same time: nothing that one of them wrote ever shows in the other.

Whatever a tenant can name or write holds its canary. After every step, all that
the other tenant's owner, and a person who belongs to both, can list, read, be
told by an event, the audit or an error is searched for it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from control_plane.domain.access import Permission, Role
from control_plane.domain.identity import Actor
from control_plane.domain.review_comments import Comment
from control_plane.domain.values import Stage, ValueKey, ValueKind
from control_plane.errors import IngotError, NotFound
from control_plane.services.places import At
from control_plane.services.review_lists import ReviewLists
from control_plane.store.control_migrations import migrate_control
from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from tests.support.builders import World

CANARIES = {"alpha": "zqalphazq", "beta": "zqbetazq"}
TENANTS = st.sampled_from(["alpha", "beta"])
OTHER = {"alpha": "beta", "beta": "alpha"}


class Tenants(RuleBasedStateMachine):
    """What people of two tenants do, in any order."""

    migrated: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="tenants"))
        shutil.copy(self.migrated, self.folder / "control.db")
        self.engine = create_engine(f"sqlite:///{self.folder / 'control.db'}", schema=CONTROL_SCHEMA)
        self.world = World(self.engine)
        self.counter = 0
        self.names: dict[str, list[str]] = {"alpha": [], "beta": []}
        # (noun, id) of what each tenant made.
        self.made: dict[str, list[tuple[str, str]]] = {"alpha": [], "beta": []}
        self.errors: dict[str, list[IngotError]] = {"alpha": [], "beta": []}

    def teardown(self) -> None:
        self.engine.dispose()
        shutil.rmtree(self.folder)

    @initialize()
    def found(self) -> None:
        """Make both tenants, an owner for each, and one person who belongs to both."""
        founder = self.world.owner()
        self.owners: dict[str, Actor] = {}
        self.shared: dict[str, Actor] = {}
        for tenant, canary in CANARIES.items():
            self.world.organizations.create(founder, name=tenant, title=canary)
            inside = self.world.sessions.act_in(founder, tenant)
            self.owners[tenant] = self.world.member(inside, f"{canary}-owner", Role.OWNER)
            invited = self.world.members.invite(
                inside, email="sam@shared.example", name="Sam", role=Role.OWNER
            )
            if invited.one_time_password:
                sam = self.world.sign_in("sam@shared.example", invited.one_time_password)
                self.world.accounts.change_password(
                    sam, current=invited.one_time_password, new="a sentence of Sam's own"
                )
        sam = self.world.sign_in("sam@shared.example", "a sentence of Sam's own")
        self.shared = {tenant: self.world.sessions.act_in(sam, tenant) for tenant in CANARIES}

    def new(self, tenant: str) -> str:
        self.counter += 1
        return f"{CANARIES[tenant]}-{self.counter}"

    def keep(self, tenant: str, noun: str, identifier: str) -> None:
        self.made[tenant].append((noun, identifier))

    def of(self, tenant: str, noun: str) -> list[str]:
        return [identifier for known, identifier in self.made[tenant] if known == noun]

    @rule(tenant=TENANTS)
    def make_places(self, tenant: str) -> None:
        owner, name = self.owners[tenant], self.new(tenant)
        department = self.world.departments.create(owner, name=name, title=name)
        project = self.world.projects.create(owner, name=name, title=name, department=name)
        self.keep(tenant, "department", department.id)
        self.keep(tenant, "project", project.id)

    @rule(tenant=TENANTS, data=st.data())
    def move_a_project(self, tenant: str, data: st.DataObject) -> None:
        projects = self.of(tenant, "project")
        if projects:
            known = self.world.projects.get(self.owners[tenant], data.draw(st.sampled_from(projects)))
            department = data.draw(st.sampled_from(["", *self.of(tenant, "department")]))
            self.world.projects.change(
                self.owners[tenant], known.id, title=None, department=department, if_match=known.etag
            )

    @rule(tenant=TENANTS)
    def make_a_function_and_ask_for_its_review(self, tenant: str) -> None:
        owner, name = self.owners[tenant], self.new(tenant)
        function = self.world.functions.create(owner, project="main", name=name, title=name)
        version = self.world.frozen(owner, name, text=f"secret = '{name}'\n")
        review = self.world.reviews.submit(owner, name, version.number, note=name)
        self.world.reviews.comment(owner, review.id, remark(name))
        self.keep(tenant, "function", function.id)
        self.keep(tenant, "review", review.id)

    @rule(tenant=TENANTS)
    def make_what_proves_and_configures(self, tenant: str) -> None:
        owner, name = self.owners[tenant], self.new(tenant)
        key = self.world.api_keys.create(owner, project="main", name=name)
        token = self.world.tokens.create(owner, name=name)
        self.keep(tenant, "api_key", key.key.id)
        self.keep(tenant, "token", token.token.id)
        for kind in ValueKind:
            wanted = ValueKey(kind, name.upper().replace("-", "_"), Stage.LIVE)
            self.world.settings.put(owner, "main", wanted, name)

    @rule(tenant=TENANTS, role=st.sampled_from([Role.AUTHOR, Role.VIEWER, Role.ADMIN]))
    def invite_and_disable(self, tenant: str, role: Role) -> None:
        owner, name = self.owners[tenant], self.new(tenant)
        made = self.world.members.invite(owner, email=f"{name}@x.example", name=name, role=role)
        self.world.members.grant(owner, made.user.id, role=Role.GUEST, at=At(project="main"))
        self.world.members.disable(owner, made.user.id)
        self.keep(tenant, "user", made.user.id)

    @rule()
    def relay_events(self) -> None:
        self.world.events.sequence()

    @precondition(lambda self: any(self.made.values()))
    @rule(tenant=TENANTS, data=st.data())
    def reach_for_what_is_the_other_s(self, tenant: str, data: st.DataObject) -> None:
        """Every way in by an id of the other tenant ends as it does for an id of nobody."""
        other = OTHER[tenant]
        if not self.made[other]:
            return
        noun, identifier = data.draw(st.sampled_from(self.made[other]))
        before = self.everything(other, self.owners[other])
        nobody = identifier[:-6] + "zzzzzz"
        for actor in (self.owners[tenant], self.shared[tenant]):
            for attempt in self.attempts(actor, noun):
                got, absent = refusal(attempt, identifier), refusal(attempt, nobody)
                assert isinstance(got, NotFound), (noun, got)
                assert got.message.replace(identifier, "") == absent.message.replace(nobody, "")
                assert (got.hint, got.field, got.errors) == (absent.hint, absent.field, absent.errors)
                self.errors[tenant].append(got)
        assert self.everything(other, self.owners[other]) == before

    def attempts(self, actor: Actor, noun: str) -> list[Callable[[str], object]]:
        """Return every way to a thing of this noun."""
        world, tag = self.world, "1"
        ways: dict[str, list[Callable[[str], object]]] = {
            "department": [
                lambda one: world.departments.get(actor, one),
                lambda one: world.departments.change(actor, one, title="x", if_match="d1"),
                lambda one: world.departments.remove(actor, one),
                lambda one: world.projects.create(actor, name="mine", department=one),
                lambda one: world.departments.create(actor, name="mine", parent=one),
                lambda one: world.members.grant(actor, actor.user, role=Role.VIEWER, at=At(department=one)),
                lambda one: world.projects.change(
                    actor, "main", title=None, department=one, if_match=world.projects.get(actor, "main").etag
                ),
                lambda one: self.explain(actor, actor.user, one),
            ],
            "project": [
                lambda one: world.projects.get(actor, one),
                lambda one: world.projects.change(actor, one, title="x", department=None, if_match="p1"),
                lambda one: world.functions.create(actor, project=one, name="mine"),
                lambda one: world.functions.list(actor, project=one),
                lambda one: world.api_keys.list(actor, project=one),
                lambda one: world.api_keys.create(actor, project=one, name="mine"),
                lambda one: world.settings.list(actor, project=one),
                lambda one: world.tokens.create(actor, name="mine", at=At(project=one)),
                lambda one: world.members.grant(actor, actor.user, role=Role.VIEWER, at=At(project=one)),
                lambda one: self.explain(actor, actor.user, one),
            ],
            "function": [
                lambda one: world.functions.get(actor, one),
                lambda one: world.functions.remove(actor, one),
                lambda one: world.drafts.get(actor, one),
                lambda one: world.drafts.read(actor, one, "function.py"),
                lambda one: world.drafts.put_file(actor, one, "a.py", b"x", if_match=tag),
                lambda one: world.versions.list(actor, one),
                lambda one: world.versions.freeze(actor, one),
                lambda one: world.reviews.submit(actor, one, 1),
                lambda one: world.releases.list(actor, one),
            ],
            "review": [
                lambda one: world.reviews.get(actor, one),
                lambda one: world.reviews.approve(actor, one, digest="sha256:" + "0" * 64),
                lambda one: world.reviews.reject(actor, one, reason="no"),
                lambda one: world.reviews.comment(actor, one, remark("mine")),
            ],
            "api_key": [
                lambda one: world.api_keys.get(actor, one),
                lambda one: world.api_keys.revoke(actor, one),
            ],
            "token": [lambda one: world.tokens.revoke(actor, one)],
            "user": [
                lambda one: world.members.get(actor, one),
                lambda one: world.members.grant(actor, one, role=Role.VIEWER),
                lambda one: world.members.disable(actor, one),
                lambda one: world.members.enable(actor, one),
                lambda one: world.members.remove(actor, one),
                lambda one: self.explain(actor, one, ""),
            ],
        }
        return ways[noun]

    def explain(self, actor: Actor, user: str, scope: str) -> object:
        return self.world.access.explain(actor, user=user, permission=Permission.FUNCTION_READ, scope=scope)

    def everything(self, tenant: str, actor: Actor) -> str:
        """Return all that somebody can list and read, as one text."""
        world = self.world
        seen: list[object] = [
            world.organizations.get(actor),
            world.organizations.named(actor, "current"),
            world.departments.list(actor),
            world.projects.list(actor),
            world.members.list(actor, limit=1_000),
            world.api_keys.list(actor, project="main"),
            world.settings.list(actor, project="main"),
            ReviewLists(world.changes).list(actor),
            world.audit.entries(actor, limit=10_000),
            world.events.after(actor, 0, limit=10_000),
            self.errors[tenant] and [(one.message, one.hint, one.errors) for one in self.errors[tenant]],
        ]
        if actor is self.owners[tenant]:
            # One's own tokens and memberships are one's own in every tenant.
            seen += [world.organizations.list(actor), world.tokens.list(actor), world.sessions.list(actor)]
        for function in world.functions.list(actor, limit=100).items:
            seen += [
                function,
                world.drafts.files(actor, function.id),
                world.versions.list(actor, function.id),
                world.releases.list(actor, function.id),
            ]
        return repr(seen)

    @invariant()
    def nobody_sees_the_other_tenant(self) -> None:
        for tenant in getattr(self, "shared", {}):
            for actor in (self.owners[tenant], self.shared[tenant]):
                seen = self.everything(tenant, actor)
                assert CANARIES[tenant] in seen, "the search would find what is there"
                assert CANARIES[OTHER[tenant]] not in seen


def remark(text: str) -> Comment:
    return Comment(user="", at_ms=0, text=text)


def refusal(attempt: Callable[[str], object], identifier: str) -> IngotError:
    try:
        result = attempt(identifier)
    except IngotError as error:
        return error
    raise AssertionError(f"it was let in and got {result!r}")


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tenants") / "control.db"
    engine = create_engine(f"sqlite:///{path}", schema=CONTROL_SCHEMA)
    migrate_control(engine)
    engine.dispose()
    return path


def test_two_tenants_never_see_each_other(empty_database: Path) -> None:
    Tenants.migrated = empty_database
    run_state_machine_as_test(
        Tenants,
        settings=settings(
            max_examples=6,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
