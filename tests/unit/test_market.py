"""Sharing and installing: who sees what, what exactly is copied, and what another tenant never learns."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.access import Binding, Role
from control_plane.domain.identity import Actor, Organization, Project, ReviewPolicy, User
from control_plane.domain.sharing import Audience, Share, ShareKind, ShareWish, UnreviewedShare, search_terms
from control_plane.domain.values import ValueKey, ValueKind
from control_plane.domain.versions import Version
from control_plane.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
)
from control_plane.services.market import Search
from control_plane.services.releases import ReleaseRefused, Wish
from tests.support.builders import PASSWORD, World
from tests.unit.conftest import People


def make_stranger(world: World) -> Actor:
    """Return the owner of a second organization."""
    with world.changes.change(Actor.system("org_other"), "organization.create") as change:
        tenant = Organization("org_other", "other", "Other", change.now_ms)
        change.unit.identity.add_organization(tenant)
        policy = ReviewPolicy()
        change.unit.identity.add_project(
            Project("prj_other", tenant.id, "main", "Main", policy, (tenant.id,), change.now_ms)
        )
        user = User("usr_other", "eve@other.example", "Eve", "owner-link", False, change.now_ms)
        change.unit.identity.add_user(user, f"plain:{PASSWORD}")
        change.unit.identity.add_binding(tenant.id, user.id, Binding(Role.OWNER, tenant.scope))
    return world.sign_in("eve@other.example")


def reviewed(world: World, people: People, text: str = "x = 1\n", name: str = "orders") -> Version:
    version = world.frozen(people.author, name, text, description="Adds up orders", settings=["API_URL"])
    world.approved(people.author, people.reviewer, version)
    return version


def shared(world: World, people: People, audience: Audience = Audience.EVERYONE, **more: Any) -> Share:
    wish = ShareWish(1, tags=("money",), **more)
    return world.sharing.create(people.owner, "orders", wish, audience=audience)


def found(world: World, actor: Actor, text: str = "", **more: Any) -> list[str]:
    page = world.market.search(actor, Search(text, **more))
    return [one.share.name for one in page.items]


def test_what_is_installed_freezes_to_the_digest_that_was_shared(world: World, people: People) -> None:
    version = reviewed(world, people)
    share = shared(world, people)
    assert (share.digest, share.reviewed, share.audience) == (version.digest, True, Audience.EVERYONE)
    stranger = make_stranger(world)
    made = world.market.install(stranger, share.id, project="main", digest=share.digest)
    assert (made.organization, made.name) == (stranger.organization, "orders")
    copy = world.versions.freeze(stranger, "orders")
    assert copy.digest == version.digest
    assert [user for user, _ in copy.authors] == [stranger.user], "the installer answers for it here"
    came = world.market.installed(stranger, "orders")
    source = came.installation
    assert (source.source_organization, source.source_name, source.number, source.digest) == (
        "acme", "orders", 1, version.digest,
    )  # fmt: skip
    assert (source.installed_by, came.shared, came.newer) == (stranger.user, True, None)
    with pytest.raises(Conflict, match="already"):
        world.market.install(stranger, share.id, project="main")
    assert world.market.install(stranger, share.id, project="main", name="second").name == "second"


def test_approvals_do_not_travel(world: World, people: People) -> None:
    reviewed(world, people)
    stranger = make_stranger(world)
    world.market.install(stranger, shared(world, people).id, project="main")
    world.versions.freeze(stranger, "orders")
    world.settings.put(stranger, "main", ValueKey(ValueKind.SETTING, "API_URL"), "mine")
    with pytest.raises(ReleaseRefused) as caught:
        world.releases.apply(stranger, "orders", [Wish(1, 100)])
    assert [code for code, _ in caught.value.errors] == ["approval_missing"]


def test_each_audience_sees_its_own(world: World, people: People) -> None:
    reviewed(world, people)
    sibling = world.projects.create(people.owner, name="sibling")
    only_sibling = world.member(people.owner, "sid", Role.AUTHOR, project=sibling.id)
    only_main = world.member(people.owner, "mia", Role.AUTHOR, project="main")
    stranger = make_stranger(world)
    share = world.sharing.create(
        people.owner, "orders", ShareWish(1), audience=Audience.PROJECT, project="sibling"
    )
    assert found(world, only_sibling) == ["orders"]
    for blind in (only_main, stranger):
        assert found(world, blind) == []
        for attempt in (world.market.get, world.market.files):
            with pytest.raises(NotFound):
                attempt(blind, share.id)
        with pytest.raises(NotFound):
            world.market.install(blind, share.id, project="main", name="stolen")
    shared(world, people, Audience.ORGANIZATION)
    assert [found(world, actor) for actor in (only_main, stranger)] == [["orders"], []]
    shared(world, people, Audience.EVERYONE)
    assert found(world, stranger) == ["orders"]


def test_beyond_the_project_needs_the_right_there(world: World, people: People) -> None:
    reviewed(world, people)
    here = world.member(people.owner, "mia", Role.AUTHOR, project="main")
    wish = ShareWish(1)
    assert world.sharing.create(here, "orders", wish, audience=Audience.PROJECT).shared_by == here.user
    for actor, audience in (
        (here, Audience.ORGANIZATION),
        (people.author, Audience.EVERYONE),
        (people.reviewer, Audience.PROJECT),
    ):
        with pytest.raises(Forbidden):
            world.sharing.create(actor, "orders", wish, audience=audience)
    with pytest.raises(Conflict, match="already"):
        world.sharing.create(people.author, "orders", wish, audience=Audience.PROJECT)


def test_an_unreviewed_version_is_shared_only_marked_as_such(world: World, people: People) -> None:
    world.frozen(people.author)
    with pytest.raises(UnreviewedShare, match="its project asks for"):
        shared(world, people, unreviewed=True)
    world.projects.set_policy(people.owner, "main", ReviewPolicy(approvals=0), if_match="p1")
    with pytest.raises(UnreviewedShare):
        shared(world, people)
    share = shared(world, people, unreviewed=True)
    assert not share.reviewed
    assert not world.market.get(people.author, share.id).offered.share.reviewed
    version = world.versions.get(people.author, "orders", 1)
    world.approved(people.author, people.reviewer, version)
    changed = world.sharing.change(people.owner, share.id, ShareWish(1), if_match=share.etag)
    assert (changed.reviewed, changed.id, changed.revision) == (True, share.id, 2)


def test_a_newer_version_is_told_of_and_replaces_the_draft(world: World, people: People) -> None:
    reviewed(world, people)
    share = shared(world, people)
    stranger = make_stranger(world)
    world.market.install(stranger, share.id, project="main", name="mine")
    second = reviewed(world, people, "x = 2\n")
    with pytest.raises(PreconditionRequired):
        world.sharing.change(people.owner, share.id, ShareWish(2), if_match="")
    with pytest.raises(PreconditionFailed):
        world.sharing.change(people.owner, share.id, ShareWish(2), if_match="s9")
    world.sharing.change(people.owner, share.id, ShareWish(2), if_match="s1")
    [one] = world.market.installations(stranger).items
    assert one.newer is not None
    assert (one.newer.number, one.newer.digest) == (2, second.digest)
    with pytest.raises(PreconditionFailed):
        world.market.install(stranger, share.id, project="main", name="other", digest=share.digest)
    etag = world.drafts.get(stranger, "mine").etag
    with pytest.raises(PreconditionFailed):
        world.market.update(stranger, "mine", if_match="d1")
    world.market.update(stranger, "mine", if_match=etag, digest=second.digest)
    assert world.drafts.read(stranger, "mine", "function.py") == b"x = 2\n"
    came = world.market.installed(stranger, "mine")
    assert (came.installation.number, came.newer) == (2, None)
    with pytest.raises(Conflict, match="nothing newer"):
        world.market.update(stranger, "mine", if_match=world.drafts.get(stranger, "mine").etag)


def test_unsharing_and_retiring_stop_new_installs_and_leave_the_old(world: World, people: People) -> None:
    version = reviewed(world, people)
    share = shared(world, people)
    stranger = make_stranger(world)
    world.market.install(stranger, share.id, project="main", name="kept")
    world.versions.retire(people.operator, "orders", version.number)
    assert "retired" in world.market.get(stranger, share.id).withdrawn
    with pytest.raises(Conflict, match="retired"):
        world.market.install(stranger, share.id, project="main", name="late")
    world.sharing.remove(people.owner, share.id, if_match=share.etag)
    with pytest.raises(NotFound):
        world.market.get(stranger, share.id)
    assert found(world, stranger) == []
    assert world.drafts.files(stranger, "kept")["function.py"] == b"x = 1\n"
    assert world.market.installed(stranger, "kept").shared is False
    with pytest.raises(NotFound):
        world.functions.get(stranger, "late")


def test_nothing_is_half_installed(world: World, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    reviewed(world, people)
    share = shared(world, people)
    stranger = make_stranger(world)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("control_plane.store.function_rows.FunctionRows.add_edit", killed)
        with pytest.raises(KeyboardInterrupt):
            world.market.install(stranger, share.id, project="main")
    with pytest.raises(NotFound):
        world.functions.get(stranger, "orders")
    digest = world.market.get(stranger, share.id).version.files[0].digest
    del world.blobs.contents[digest]
    with pytest.raises(Conflict, match="damaged"):
        world.market.install(stranger, share.id, project="main")
    assert world.market.installations(stranger).items == ()


def test_another_tenant_learns_nothing_but_the_offer(world: World, people: People) -> None:
    reviewed(world, people)
    share = shared(world, people)
    stranger = make_stranger(world)
    for attempt in (
        lambda: world.sharing.get(stranger, share.id),
        lambda: world.sharing.remove(stranger, share.id, if_match=share.etag),
        lambda: world.functions.get(stranger, share.function),
        lambda: world.versions.get(stranger, share.function, 1),
        lambda: world.market.installed(stranger, share.function),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert world.sharing.list(stranger).items == ()


def test_search_finds_beginnings_of_words_and_whole_tags(world: World, people: People) -> None:
    for name, summary, tags in (
        ("orders", "Adds up Bestellungen für Köln", ("money", "report")),
        ("invoices", "Prints orders", ("money",)),
    ):
        reviewed(world, people, name=name)
        wish = ShareWish(1, summary=summary, tags=tags)
        world.sharing.create(people.owner, name, wish, audience=Audience.ORGANIZATION)
    assert found(world, people.author) == ["orders", "invoices"]
    assert found(world, people.author, "ord") == ["orders", "invoices"]
    assert found(world, people.author, "ORD prin") == ["invoices"]
    assert found(world, people.author, "köl") == ["orders"]
    assert found(world, people.author, "rders") == []
    assert found(world, people.author, "acme") == ["orders", "invoices"]
    assert found(world, people.author, "%") == ["orders", "invoices"], "no word is asked for"
    assert found(world, people.author, tags=("money", "report")) == ["orders"]
    assert found(world, people.author, tags=("mon",)) == []
    assert found(world, people.author, kind=ShareKind.STARTER) == []
    first = world.market.search(people.author, Search(), limit=1)
    second = world.market.search(people.author, Search(), after=first.next, limit=1)
    assert [page.items[0].share.name for page in (first, second)] == ["orders", "invoices"]
    assert second.next == ""
    assert search_terms("Aa aa, b_c") == ("aa", "b", "c")


def test_a_function_can_be_a_starter_too(world: World, people: People) -> None:
    reviewed(world, people)
    shared(world, people, Audience.ORGANIZATION)
    starter = shared(world, people, Audience.ORGANIZATION, kind=ShareKind.STARTER)
    assert found(world, people.author, kind=ShareKind.STARTER) == ["orders"]
    share, files = world.market.files(people.author, starter.id)
    assert (share.id, files["function.py"]) == (starter.id, b"x = 1\n")
    with pytest.raises(Invalid, match="kind"):
        world.sharing.change(people.owner, starter.id, ShareWish(1), if_match="s1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"summary": "x" * 201},
        {"summary": "a\nb"},
        {"tags": ("A",)},
        {"tags": ("a", "a")},
        {"tags": ("a",) * 11},
    ],
)
def test_a_wish_has_rules(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        ShareWish(1, **wrong)
