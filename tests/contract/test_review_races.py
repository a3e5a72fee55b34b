"""Edits, values, approvals and releases at the same time, on both databases: nothing unseen is published."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from sqlalchemy import Engine

from control_plane.domain.access import Role
from control_plane.domain.identity import Actor, ReviewPolicy
from control_plane.domain.review_policies import ValuesRule
from control_plane.domain.values import ValueKey, ValueKind
from control_plane.errors import IngotError
from control_plane.services.releases import Wish
from tests.support.builders import World

_KEY = ValueKey(ValueKind.SETTING, "API_URL")


class Race:
    """Two authors against one reviewer, who approves only what they looked at, and one operator."""

    def __init__(self, engine: Engine) -> None:
        self.world = World(engine)
        self.owner = self.world.owner()
        self.authors = [self.world.member(self.owner, name, Role.AUTHOR) for name in ("ada", "bea")]
        self.reviewer = self.world.member(self.owner, "rita", Role.REVIEWER)
        self.operator = self.world.member(self.owner, "omar", Role.OPERATOR)
        policy = ReviewPolicy(values=ValuesRule.APPROVED)
        self.world.projects.set_policy(self.owner, "main", policy, if_match="p1")
        self.world.settings.put(self.operator, "main", _KEY, "first")
        self.world.frozen(self.authors[0], settings=["API_URL"])
        # Written before each approval is sent: (digest, values).
        self.seen: set[tuple[str, str]] = set()
        self.problems: list[Exception] = []
        self.edited, self.approved = 0, 0
        self.over = threading.Event()

    def edit(self, actor: Actor, edits: int) -> None:
        for number in range(edits):
            with suppress(IngotError):
                text = f"{actor.name} = {number}\n"
                version = self.world.frozen(actor, text=text, settings=["API_URL"])
                self.world.reviews.submit(actor, "orders", version.number)
            if number % 3 == 0:
                self._change_value(f"{actor.name} {number}")
            self.edited += 1

    def _change_value(self, content: str) -> None:
        with suppress(IngotError):
            latest = self.world.settings.get(self.operator, "main", _KEY)
            self.world.settings.put(self.operator, "main", _KEY, content, if_match=latest.etag)

    def decide(self) -> None:
        while not self.over.is_set():
            for review in self.world.review_lists.list(self.reviewer, limit=1).items:
                values = self.world.reviews.values(self.reviewer, review.id)
                self.seen.add((review.digest, values))
                with suppress(IngotError):
                    self.world.reviews.approve(self.reviewer, review.id, digest=review.digest, values=values)
                    self.approved += 1

    def release(self) -> None:
        while not self.over.is_set():
            newest = self.world.versions.list(self.operator, "orders", limit=2).items
            for version in newest:
                with suppress(IngotError):
                    self.world.releases.apply(self.operator, "orders", [Wish(version.number, 100)])

    def guarded(self, action: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                action()
            except Exception as error:
                self.problems.append(error)

        return threading.Thread(target=run)


def run(engine: Engine, edits: int) -> None:
    race = Race(engine)
    editing = [race.guarded(lambda actor=actor: race.edit(actor, edits)) for actor in race.authors]  # type: ignore[misc]
    others = [race.guarded(race.decide), race.guarded(race.release)]
    for thread in (*editing, *others):
        thread.start()
    for thread in editing:
        thread.join(1_200)
    race.over.set()
    for thread in others:
        thread.join(60)
    assert race.problems == []
    assert race.edited == 2 * edits
    with race.world.changes.read(race.owner) as view:
        function = race.world.functions.get(race.owner, "orders").id
        releases = view.unit.releases.list(race.owner.organization, function, 100_000)
    published = {(part.digest, part.bound.epoch) for release in releases for part in release.parts}
    assert published <= race.seen
    assert race.world.audit.verify(race.owner).findings == ()


def test_a_short_race_publishes_nothing_unseen(engine: Engine) -> None:
    run(engine, 12)


@pytest.mark.slow
@pytest.mark.timeout(1_500)
def test_two_threads_with_a_thousand_edits_each_publish_nothing_unseen(engine: Engine) -> None:
    run(engine, 1_000)


def test_what_is_seen_is_approved_and_released_when_nobody_edits(engine: Engine) -> None:
    """The race would prove nothing if nothing could ever be released in it."""
    race = Race(engine)
    race.edit(race.authors[0], 1)
    deciding, releasing = race.guarded(race.decide), race.guarded(race.release)
    deciding.start()
    releasing.start()
    for _ in range(2_000):
        if race.world.releases.status(race.owner, "orders").newest is not None:
            break
        race.over.wait(0.01)
    race.over.set()
    deciding.join(60)
    releasing.join(60)
    assert race.problems == []
    newest = race.world.releases.status(race.owner, "orders").newest
    assert newest is not None
    assert {(part.digest, part.bound.epoch) for part in newest.parts} <= race.seen
