"""One look serves every stream, and a stream that is told of nothing asks nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from control_plane.api.stirrings import Stirrings
from control_plane.services.events import Mark
from tests.support.builders import World
from tests.unit.conftest import People


def test_many_streams_share_one_look() -> None:
    looks: list[Mapping[str, Mark]] = []

    async def look(before: Mapping[str, Mark]) -> Mapping[str, Mark]:
        looks.append(before)
        await asyncio.sleep(0)
        return {"org_1": (1, 2, 3)}

    async def ask() -> list[Mark]:
        stirrings = Stirrings(look, fresh_s=3_600)
        return list(await asyncio.gather(*(stirrings.of(name) for name in ["org_1", "org_2"] * 500)))

    assert set(asyncio.run(ask())) == {(1, 2, 3), (0, 0, 0)}
    assert looks == [{}]


def test_a_mark_moves_with_every_change_and_event_of_its_organization(world: World, people: People) -> None:
    organization = people.owner.organization
    before = world.events.marks({})
    assert world.events.marks(before) == before
    world.functions.create(people.owner, project="main", name="stirs")
    changed = world.events.marks(before)
    assert changed[organization][0] > before[organization][0]
    assert changed[organization][1] == before[organization][1]
    while world.events.sequence():
        pass
    placed = world.events.marks(changed)
    assert placed[organization][1] > changed[organization][1]
    assert world.events.marks(placed) == placed
