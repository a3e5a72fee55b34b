"""Keys through the services and the reconciler: rotation, changes, and what the gateway is told."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from control_plane.domain.credentials import KeyKind, KeyMode
from control_plane.domain.desired import CallerKey
from control_plane.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from control_plane.services.api_keys import KeyChange, KeyLimits, KeyMade, KeyRights
from tests.support.builders import World
from tests.unit.conftest import People


def make(world: World, people: People, **more: object) -> KeyMade:
    return world.api_keys.create(people.operator, project="main", name="shop", **more)  # type: ignore[arg-type]


def told(world: World) -> dict[str, CallerKey]:
    """Return hash -> entry of what the gateway holds now."""
    world.settle()
    return {entry.sha256: entry for entry in world.gateway.states[-1].keys}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_two_secrets_are_one_key_until_the_overlap_ends(world: World, people: People) -> None:
    old = make(world, people)
    new = world.api_keys.rotate(people.operator, old.key.id, overlap_s=60, if_match="k1")
    entries = told(world)
    assert entries.keys() == {digest(old.text), digest(new.text)}
    assert {entry.key for entry in entries.values()} == {old.key.id}
    ends = (world.clock.now_ms() + 60_000 + 999) // 1_000
    assert [entries[digest(one.text)].expires_at for one in (old, new)] == [ends, 0]
    third = world.api_keys.rotate(people.operator, old.key.id, overlap_s=60)
    assert told(world).keys() == {digest(new.text), digest(third.text)}
    assert world.gateway.cuts == []
    world.api_keys.end_overlap(people.operator, old.key.id)
    assert told(world).keys() == {digest(third.text)}
    assert world.gateway.cuts == [old.key.id]
    assert world.api_keys.end_overlap(people.operator, old.key.id).revision == 4


def test_a_rotation_without_overlap_ends_what_the_old_secret_has_open(world: World, people: People) -> None:
    old = make(world, people)
    told(world)
    new = world.api_keys.rotate(people.operator, old.key.id, overlap_s=0)
    assert told(world).keys() == {digest(new.text)}
    assert world.gateway.cuts == [old.key.id]
    told(world)
    assert world.gateway.cuts == [old.key.id]


def test_what_a_key_is_bound_to_reaches_the_gateway(world: World, people: People) -> None:
    rights = KeyRights(modes=(KeyMode.STREAM, KeyMode.SYNC), networks=("192.0.2.1", "10.0.0.0/8"))
    made = make(world, people, rights=rights)
    entry = told(world)[digest(made.text)]
    assert (entry.modes, entry.networks) == (("sync", "stream"), ("10.0.0.0/8", "192.0.2.1/32"))
    every = make(world, people, rights=KeyRights(modes=tuple(KeyMode)))
    assert told(world)[digest(every.text)].modes == ()


def test_a_change_names_what_it_saw_and_cuts_only_what_it_takes(world: World, people: People) -> None:
    made = make(world, people)
    key = made.key.id
    wider = world.api_keys.change(people.operator, key, KeyChange(name="store", rate_10s=7), if_match="k1")
    assert (wider.name, wider.rate_10s, wider.etag, wider.to_cut) == ("store", 7, "k2", False)
    assert world.api_keys.change(people.operator, key, KeyChange(name="store"), if_match="k2") == wider
    with pytest.raises(PreconditionFailed):
        world.api_keys.change(people.operator, key, KeyChange(name="late"), if_match="k1")
    with pytest.raises(PreconditionFailed):
        world.api_keys.rotate(people.operator, key, overlap_s=1, if_match="k1")
    narrower = KeyChange(networks=("10.0.0.0/8",))
    world.api_keys.change(people.operator, key, narrower, if_match="k2")
    assert told(world)[digest(made.text)].networks == ("10.0.0.0/8",)
    assert world.gateway.cuts == [key]
    world.api_keys.change(people.operator, key, KeyChange(networks=()), if_match="k3")
    assert told(world)[digest(made.text)].networks == ()
    assert world.gateway.cuts == [key]
    longer = world.api_keys.change(people.operator, key, KeyChange(days=2), if_match="k4")
    assert longer.expires_ms == world.clock.now_ms() + 2 * 86_400_000
    assert world.api_keys.change(people.operator, key, KeyChange(days=0), if_match="k5").expires_ms == 0


def test_a_key_that_lost_more_while_it_was_cut_is_cut_again(world: World, people: People) -> None:
    made = make(world, people)
    told(world)
    narrow = KeyChange(modes=(KeyMode.SYNC,))
    world.api_keys.change(people.operator, made.key.id, narrow, if_match="k1")
    cut = world.gateway.cut

    def cut_late(target_or_key: str) -> int:
        world.gateway.cut = cut  # type: ignore[method-assign]
        again = KeyChange(networks=("10.0.0.0/8",))
        world.api_keys.change(people.operator, made.key.id, again, if_match="k2")
        return cut(target_or_key)

    world.gateway.cut = cut_late  # type: ignore[method-assign]
    world.settle()
    world.settle()
    assert world.gateway.cuts == [made.key.id, made.key.id]
    assert not world.api_keys.get(people.operator, made.key.id).to_cut


def test_a_test_key_never_outlives_its_90_days(world: World, people: People) -> None:
    made = make(world, people, kind=KeyKind.TEST, limits=KeyLimits(days=1))
    latest = made.key.created_ms + 90 * 86_400_000
    for days in (0, 3_660):
        key = world.api_keys.get(people.operator, made.key.id)
        changed = world.api_keys.change(people.operator, key.id, KeyChange(days=days), if_match=key.etag)
        assert changed.expires_ms == latest
    rotated = world.api_keys.rotate(people.operator, made.key.id, overlap_s=1)
    assert rotated.text.startswith("ing_test_")


def test_a_revoked_key_is_neither_changed_nor_rotated(world: World, people: People) -> None:
    made = make(world, people)
    world.api_keys.rotate(people.operator, made.key.id, overlap_s=600)
    world.api_keys.revoke(people.operator, made.key.id)
    assert told(world) == {}
    etag = world.api_keys.get(people.operator, made.key.id).etag
    with pytest.raises(Conflict, match="revoked"):
        world.api_keys.rotate(people.operator, made.key.id, overlap_s=1)
    with pytest.raises(Conflict, match="revoked"):
        world.api_keys.change(people.operator, made.key.id, KeyChange(name="x"), if_match=etag)
    with pytest.raises(Conflict, match="revoked"):
        world.api_keys.end_overlap(people.operator, made.key.id)


def test_only_who_manages_keys_may_and_only_in_the_own_organization(world: World, people: People) -> None:
    made = make(world, people)
    stranger = replace(people.operator, organization="org_other")
    for call in (
        lambda actor: world.api_keys.rotate(actor, made.key.id, overlap_s=1),
        lambda actor: world.api_keys.change(actor, made.key.id, KeyChange(name="x"), if_match="k1"),
        lambda actor: world.api_keys.end_overlap(actor, made.key.id),
    ):
        with pytest.raises(Forbidden):
            call(people.author)
        with pytest.raises(NotFound):
            call(stranger)
    with pytest.raises(Invalid, match="overlap"):
        world.api_keys.rotate(people.operator, made.key.id, overlap_s=31 * 86_400)


def test_keys_come_in_pages_newest_first(world: World, people: People) -> None:
    made = [make(world, people).key.id for _ in range(5)]
    first = world.api_keys.page(people.operator, project="main", limit=2)
    second = world.api_keys.page(people.operator, project="main", after=first.next, limit=2)
    third = world.api_keys.page(people.operator, project="main", after=second.next, limit=2)
    seen = [key.id for page in (first, second, third) for key in page.items]
    assert (seen, third.next) == (sorted(made, reverse=True), "")
