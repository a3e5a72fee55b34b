"""Values of projects and functions: versions, whose value counts, who holds it, and what is never shown."""

from __future__ import annotations

import pytest

from control_plane.domain.values import Stage, ValueInUse, ValueKey, ValueKind
from control_plane.errors import Forbidden, Invalid, NotFound, PreconditionFailed, PreconditionRequired
from control_plane.ports import TestCall
from tests.support.builders import World
from tests.unit.conftest import People

API_URL = ValueKey(ValueKind.SETTING, "API_URL")
TOKEN = ValueKey(ValueKind.SECRET, "TOKEN")
CALL = TestCall("POST", "/", (), b"{}", 1_000)


def test_a_value_is_changed_only_by_who_saw_it(world: World, people: People) -> None:
    first = world.settings.put(people.operator, "main", API_URL, "1")
    assert (first.number, first.etag) == (1, "v1")
    with pytest.raises(PreconditionRequired):
        world.settings.put(people.operator, "main", API_URL, "2")
    with pytest.raises(PreconditionFailed):
        world.settings.put(people.operator, "main", API_URL, "2", if_match="v9")
    second = world.settings.put(people.operator, "main", API_URL, "2", if_match="v1")
    assert [one.content for one in world.settings.versions(people.author, "main", API_URL)] == ["2", "1"]
    assert world.settings.get(people.author, "main", API_URL) == second
    with pytest.raises(PreconditionRequired):
        world.settings.remove(people.operator, "main", API_URL)
    gone = world.settings.remove(people.operator, "main", API_URL, if_match="v2")
    assert (gone.number, gone.removed) == (3, True)
    for ask in (world.settings.get, world.settings.versions):
        with pytest.raises(NotFound):
            ask(people.author, "main", API_URL)
    with pytest.raises(PreconditionFailed):
        world.settings.put(people.operator, "main", API_URL, "3", if_match="v2")
    assert world.settings.put(people.operator, "main", API_URL, "3").number == 4


def test_a_secret_shows_in_nothing_that_anybody_reads(world: World, people: People) -> None:
    made = world.settings.put(people.operator, "main", TOKEN, "canary-secret")
    world.settings.put(people.operator, "main", TOKEN, "canary-second", if_match=made.etag)
    shown = [
        made,
        world.settings.get(people.owner, "main", TOKEN),
        *world.settings.list(people.owner, project="main"),
        *world.settings.versions(people.owner, "main", TOKEN),
    ]
    assert {value.content for value in shown} == {""}
    assert world.events.sequence()
    everything = [
        *world.audit.entries(people.owner, limit=1_000).items,
        *world.events.after(people.owner, 0, limit=1_000),
    ]
    assert not any("canary" in str(one) for one in everything)
    with world.store.read() as unit:
        stored = unit.values.history(people.owner.organization, made.project, TOKEN)
    assert all(value.content and "canary" not in value.content for value in stored)


@pytest.mark.parametrize(
    ("name", "content"), [("lower", "x"), ("A", "x" * 40_000), ("A", "zero\0byte"), ("A" * 65, "x")]
)
def test_values_have_rules(world: World, people: People, name: str, content: str) -> None:
    with pytest.raises(Invalid):
        world.settings.put(people.operator, "main", ValueKey(ValueKind.SETTING, name), content)
    with pytest.raises(Forbidden):
        world.settings.put(people.author, "main", TOKEN, "x")


def test_a_functions_own_value_counts_before_the_projects(world: World, people: People) -> None:
    name = world.drafted(people.author, settings=["API_URL"])
    world.drafted(people.author, "other", settings=["API_URL"])
    world.settings.put(people.operator, "main", ValueKey(ValueKind.SETTING, "API_URL", Stage.TEST), "all")
    own = ValueKey(ValueKind.SETTING, "API_URL", Stage.TEST, name)
    made = world.settings.put(people.operator, "main", own, "mine")
    assert made.function == world.functions.get(people.author, name).id
    for function, seen in ((name, "mine"), ("other", "all")):
        world.test_runs.run(people.author, function, CALL)
        assert world.runtime.tests[-1][0].settings == {"API_URL": seen}
    assert len(world.settings.list(people.author, project="main")) == 2
    usable = world.settings.list(people.author, project="main", function="other")
    assert [one.content for one in usable] == ["all"]
    world.settings.remove(people.operator, "main", own, if_match="v1")
    world.test_runs.run(people.author, name, CALL)
    assert world.runtime.tests[-1][0].settings == {"API_URL": "all"}


def test_a_function_of_another_project_has_no_value_here(world: World, people: People) -> None:
    world.projects.create(people.owner, name="sibling")
    world.functions.create(people.owner, project="sibling", name="elsewhere")
    key = ValueKey(ValueKind.SETTING, "API_URL", function="elsewhere")
    with pytest.raises(NotFound):
        world.settings.put(people.owner, "main", key, "x")


def test_rotating_shows_which_releases_still_hold_the_old_value(world: World, people: People) -> None:
    world.settings.put(people.operator, "main", TOKEN, "old")
    version = world.frozen(people.author, secrets=["TOKEN"])
    world.approved(people.author, people.reviewer, version)
    world.released(people.operator, version)
    [use] = world.settings.uses(people.author, "main", TOKEN)
    assert (use.function_name, use.release, use.state, use.number, use.outdated) == (
        "orders", 1, "live", 1, False,
    )  # fmt: skip
    world.settings.put(people.operator, "main", TOKEN, "new", if_match="v1")
    assert [one.outdated for one in world.settings.uses(people.author, "main", TOKEN)] == [True]
    with pytest.raises(ValueInUse, match=r"orders \(release 1\)"):
        world.settings.remove(people.operator, "main", TOKEN, if_match="v2")
    world.released(people.operator, version)
    [use] = world.settings.uses(people.author, "main", TOKEN)
    assert (use.release, use.number, use.outdated) == (2, 2, False)
    world.functions.remove(people.operator, "orders")
    assert world.settings.uses(people.author, "main", TOKEN) == ()
    assert world.settings.remove(people.operator, "main", TOKEN, if_match="v2").removed
