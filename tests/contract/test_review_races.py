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
# Many times what it takes on a machine that does nothing else.
_LONGEST_S = 600


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
        # Set by whoever made something that the reviewer or the operator may act on.
        self.to_decide, self.to_release = threading.Event(), threading.Event()
        self.over = threading.Event()

    def edit(self, actor: Actor, edits: int) -> None:
        """Edit the draft; every fourth edit is frozen and submitted, every eighth changes a value too."""
        for number in range(edits):
            with suppress(IngotError):
                self.world.drafted(actor, text=f"{actor.name} = {number}\n", settings=["API_URL"])
                if number % 4 == 0:
                    version = self.world.versions.freeze(actor, "orders")
                    self.world.reviews.submit(actor, "orders", version.number)
                    self.to_decide.set()
            if number % 8 == 4:
                self._change_value(f"{actor.name} {number}")
                self.to_release.set()
            self.edited += 1

    def _change_value(self, content: str) -> None:
        with suppress(IngotError):
            latest = self.world.settings.get(self.operator, "main", _KEY)
            self.world.settings.put(self.operator, "main", _KEY, content, if_match=latest.etag)

    def decide(self) -> None:
        """Look at the newest review whenever there is news, and approve what was seen."""
        while not self.over.is_set():
            if not self.to_decide.wait(0.1):
                continue
            self.to_decide.clear()
            for review in self.world.review_lists.list(self.reviewer, limit=1).items:
                values = self.world.reviews.values(self.reviewer, review.id)
                self.seen.add((review.digest, values))
                with suppress(IngotError):
                    self.world.reviews.approve(self.reviewer, review.id, digest=review.digest, values=values)
                    self.approved += 1
                    self.to_release.set()

    def release(self) -> None:
        """Try to release the newest versions whenever there is news, and let them go live."""
        while not self.over.is_set():
            if not self.to_release.wait(0.1):
                continue
            self.to_release.clear()
            newest = self.world.versions.list(self.operator, "orders", limit=2).items
            for version in newest:
                with suppress(IngotError):
                    self.world.releases.apply(self.operator, "orders", [Wish(version.number, 100)])
                    self.world.settle()

    def guarded(self, action: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                action()
            except Exception as error:
                self.problems.append(error)

        return threading.Thread(target=run)


def run(engine: Engine, edits: int, wanted: int = 0) -> None:
    """Let everybody go at once; at least `wanted` different states must get through."""
    race = Race(engine)
    editing = [race.guarded(lambda actor=actor: race.edit(actor, edits)) for actor in race.authors]  # type: ignore[misc]
    others = [race.guarded(race.decide), race.guarded(race.release)]
    for thread in (*editing, *others):
        thread.start()
    for thread in editing:
        thread.join(_LONGEST_S)
    race.over.set()
    for thread in others:
        thread.join(60)
    assert race.problems == []
    assert race.edited == 2 * edits, "the editors did not come to their end"
    with race.world.changes.read(race.owner) as view:
        function = race.world.functions.get(race.owner, "orders").id
        releases = view.unit.releases.list(race.owner.organization, function, 100_000)
    published = {(part.digest, part.bound.epoch) for release in releases for part in release.parts}
    assert published <= race.seen
    assert len(published) >= wanted, "a race that publishes nothing shows nothing"
    assert race.world.audit.verify(race.owner).findings == ()


def test_a_short_race_publishes_nothing_unseen(engine: Engine) -> None:
    run(engine, 12)


@pytest.mark.slow
@pytest.mark.timeout(_LONGEST_S + 180)
def test_two_threads_with_a_thousand_edits_each_publish_nothing_unseen(engine: Engine) -> None:
    run(engine, 1_000, wanted=3)


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
