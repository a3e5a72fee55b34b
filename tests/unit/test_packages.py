"""Which versions contain a package."""

from __future__ import annotations

import pytest

from control_plane.domain.access import Role
from control_plane.domain.packages import normal_name
from control_plane.errors import Invalid
from tests.support.builders import World
from tests.unit.conftest import People


@pytest.mark.parametrize(
    ("name", "normal"), [("Foo._-Bar", "foo-bar"), ("numpy", "numpy"), ("a", "a"), ("A.B", "a-b")]
)
def test_a_name_has_one_form(name: str, normal: str) -> None:
    assert normal_name(name) == normal


@pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "a/b", "x" * 201, "é"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        normal_name(name)


def freeze(world: World, people: People, name: str, *pins: str) -> None:
    world.drafted(people.owner, name, f"# {pins}\n")
    etag = world.drafts.get(people.owner, name).etag
    content = "\n".join(pins).encode()
    world.drafts.put_file(people.owner, name, "requirements.txt", content, if_match=etag)
    world.versions.freeze(people.owner, name)


def test_every_version_with_a_package_is_found(world: World, people: People) -> None:
    freeze(world, people, "orders", "numpy==1.0", "Evil_Pack==6.6")
    freeze(world, people, "orders", "numpy==2.0")
    freeze(world, people, "sums", "numpy==2.0", "evil-pack==6.7")
    find = world.packages.versions

    def found(name: str, version: str = "") -> list[tuple[str, int, str]]:
        page = find(people.reviewer, name, version=version)
        return [(one.function_name, one.number, one.package_version) for one in page.items]

    assert found("evil.pack") == [("sums", 1, "6.7"), ("orders", 1, "6.6")]
    assert found("evil-pack", "6.6") == [("orders", 1, "6.6")]
    assert found("numpy", "2.0") == [("sums", 1, "2.0"), ("orders", 2, "2.0")]
    assert found("pandas") == []
    first = find(people.reviewer, "numpy", limit=2)
    rest = find(people.reviewer, "numpy", after=first.next, limit=2)
    assert [(one.function_name, one.number) for one in (*first.items, *rest.items)] == [
        ("sums", 1),
        ("orders", 2),
        ("orders", 1),
    ]
    assert world.versions.packages(people.author, "orders", 1) == {"numpy": "1.0", "evil-pack": "6.6"}


def test_only_visible_projects_are_searched(world: World, people: People) -> None:
    freeze(world, people, "orders", "numpy==1.0")
    world.projects.create(people.owner, name="side")
    guest = world.member(people.owner, "gil", Role.AUTHOR, project="side")
    assert world.packages.versions(guest, "numpy").items == ()


def test_a_version_says_why_it_is_not_to_be_used(world: World, people: People) -> None:
    for pin in ("numpy==1.0", "numpy==2.0", "numpy==3.0"):
        freeze(world, people, "orders", pin)
    moved = world.versions.deprecate(people.operator, "orders", 1, reason="CVE-2026-1")
    assert world.versions.deprecate(people.operator, "orders", 1) == moved
    other = world.versions.deprecate(people.operator, "orders", 1, reason="CVE-2026-2")
    assert world.versions.get(people.author, "orders", 1).reason == other.reason == "CVE-2026-2"
    retired = world.versions.retire(people.operator, "orders", 1)
    assert retired.reason == "CVE-2026-2", "the reason it had stays"
    with pytest.raises(Invalid):
        world.versions.deprecate(people.operator, "orders", 2, reason="x" * 501)
    page = world.versions.list(people.author, "orders", limit=2)
    rest = world.versions.list(people.author, "orders", after=int(page.next), limit=2)
    assert [one.number for one in (*page.items, *rest.items)] == [3, 2, 1]
    deprecated = world.versions.list(people.author, "orders", state=other.state)
    assert deprecated.items == ()
    found = world.versions.list(people.author, "orders", state=retired.state).items
    assert [(one.number, one.reason) for one in found] == [(1, "CVE-2026-2")]
