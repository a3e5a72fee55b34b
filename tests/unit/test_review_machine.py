"""Whatever people do in whatever order, nothing is released that enough others have not seen.

The machine keeps its own books: who looked at which digest beside which
values, and who edited what. The services never see these books.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine

from control_plane.domain.access import Role
from control_plane.domain.identity import ReviewPolicy
from control_plane.domain.releases import Release
from control_plane.domain.review_policies import ValuesRule
from control_plane.domain.reviews import ReviewKind
from control_plane.domain.values import ValueKey, ValueKind
from control_plane.errors import IngotError
from control_plane.services.approvals import live_epoch
from control_plane.services.releases import Wish
from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from tests.support.builders import World
from tests.support.entropy import FakeEntropy
from tests.unit.conftest import People

# 0 is the newest version, which is what people mostly mean.
numbers = st.sampled_from([0, 0, 0, 1, 2])
DISTURBANCES = ("value", "edit", "owner_edits", "values_count", "two_approvals")
disturbances = st.sampled_from(DISTURBANCES)
names = st.lists(st.sampled_from(["rita", "rolf", "olga"]), min_size=1, max_size=3, unique=True)
# An approval that names no values is refused where the policy covers them.
mostly = st.sampled_from([True, True, True, False])
people = st.sampled_from(["rita", "rolf", "olga"])


class Moment(StrEnum):
    """When somebody else acts while a version is published."""

    NEVER = "never"
    AFTER_LOOKING = "after_looking"
    BEFORE_RELEASE = "before_release"


class Reviewing(RuleBasedStateMachine):
    """Two authors, two reviewers, an owner who may do all of it, and an operator."""

    # Digests released over all examples.
    released: ClassVar[list[str]] = []
    make_world: ClassVar[Any]

    @initialize(values=st.sampled_from(ValuesRule), published=mostly)
    def open(self, values: ValuesRule, approvals: int = 1, *, published: bool = False) -> None:
        self.world, known = self.make_world()
        self.author, self.operator, self.owner = known.author, known.operator, known.owner
        self.deciders = {
            "rita": known.reviewer,
            "rolf": self.world.member(known.owner, "rolf", Role.REVIEWER),
            "olga": known.owner,
        }
        self.key = ValueKey(ValueKind.SETTING, "API_URL")
        self.edits = 0
        # What was last shown to each decider: (review, digest, values).
        self.shown: dict[str, tuple[str, str, str]] = {}
        # (user, digest, values) of everything that was ever shown.
        self.seen: set[tuple[str, str, str]] = set()
        # Who made which edit, and which edit a digest was frozen from.
        self.editors: list[str] = []
        self.frozen_at: dict[str, int] = {}
        # The newest edit that a review let through.
        self.reviewed_at = 0
        # digest -> everybody who worked on it, as far as nobody reviewed it before
        self.involved: dict[str, set[str]] = {}
        self.may_return: set[tuple[str, str]] = set()
        self.policy = ReviewPolicy()
        self.change_policy(approvals, values)
        self.values = 0
        self.set_value("first")
        self.edit_and_submit(by_owner=False)
        if published:
            self.publish(["rita", "rolf"], True, Moment.NEVER, "")
            self.edit_and_submit(by_owner=False)

    @rule(by_owner=st.booleans())
    def edit(self, by_owner: bool) -> None:
        self.edits += 1
        actor = self.owner if by_owner else self.author
        self.editors.append(actor.user)
        self.world.frozen(actor, text=f"x = {self.edits}\n", settings=["API_URL"])
        newest = self.world.versions.list(actor, "orders").items[0]
        self.frozen_at[newest.digest] = self.edits
        self.involved[newest.digest] = {self.author.user, *self.editors[self.reviewed_at :]}

    @rule(by_owner=st.booleans())
    def edit_and_submit(self, by_owner: bool) -> None:
        self.edit(by_owner)
        self.submit(0, ReviewKind.PUBLISH)

    @rule(names=names, values=mostly, moment=st.sampled_from(Moment), disturbance=disturbances)
    def publish(self, names: list[str], values: bool, moment: Moment, disturbance: str) -> None:
        """Go the usual way, with somebody else acting at one of the moments that matter."""
        self.submit(0, ReviewKind.PUBLISH)
        self.submit(0, ReviewKind.MODIFY)
        for name in names:
            self.look(name)
        if moment is Moment.AFTER_LOOKING:
            self._disturb(disturbance)
        for name in names:
            self.approve(name, values)
        if moment is Moment.BEFORE_RELEASE:
            self._disturb(disturbance)
        self.release(0)

    def _disturb(self, how: str) -> None:
        if how == "edit":
            self.edit_and_submit(by_owner=False)
        elif how == "owner_edits":
            self.edit(by_owner=True)
        elif how == "value":
            # Always another one: a value that comes back was seen before.
            self.values += 1
            self.set_value(f"new {self.values}")
        elif how == "values_count":
            self.change_policy(1, ValuesRule.APPROVED)
        elif how == "two_approvals":
            self.change_policy(2, ValuesRule.FREE)

    @rule(number=numbers, kind=st.sampled_from([ReviewKind.PUBLISH, ReviewKind.MODIFY, ReviewKind.REINSTATE]))
    def submit(self, number: int, kind: ReviewKind) -> None:
        self._tried(lambda: self.world.reviews.submit(self.author, "orders", number or self.edits, kind=kind))

    @rule(name=people)
    def look(self, name: str) -> None:
        """Open the newest review."""
        actor = self.deciders[name]
        for review in self.world.review_lists.list(actor, limit=1).items:
            values = self.world.reviews.values(actor, review.id)
            self.shown[name] = (review.id, review.digest, values)
            self.seen.add((actor.user, review.digest, values))

    @rule(name=people, values=st.booleans())
    def approve(self, name: str, values: bool) -> None:
        """Approve what was last shown, however old that is."""
        if name in self.shown:
            review, digest, epoch = self.shown[name]
            sent = epoch if values else ""
            self._tried(
                lambda: self.world.reviews.approve(self.deciders[name], review, digest=digest, values=sent)
            )

    @rule(name=people, again=st.booleans())
    def request_changes(self, name: str, again: bool) -> None:
        if name in self.shown:
            review = self.shown[name][0]
            self._tried(lambda: self.world.reviews.request_changes(self.deciders[name], review, reason="?"))
            if again:
                self._tried(lambda: self.world.reviews.resubmit(self.author, review, note="!"))

    @rule(text=st.sampled_from(["one", "two"]))
    def set_value(self, text: str) -> None:
        known = [one for one in self.world.settings.list(self.owner, project="main") if one.key == self.key]
        tag = known[0].etag if known else ""
        self.world.settings.put(self.operator, "main", self.key, text, if_match=tag)

    @rule(approvals=st.integers(1, 2), values=st.sampled_from(ValuesRule))
    def change_policy(self, approvals: int, values: ValuesRule) -> None:
        self.policy = ReviewPolicy(approvals=approvals, values=values)
        tag = self.world.projects.get(self.owner, "main").etag
        self.world.projects.set_policy(self.owner, "main", self.policy, if_match=tag)

    @rule(number=numbers)
    def release(self, number: int) -> None:
        made = self._tried(
            lambda: self.world.releases.apply(self.operator, "orders", [Wish(number or self.edits, 100)])
        )
        if made is not None:
            self._check(made)
            self._settle(made)

    @rule()
    def roll_back(self) -> None:
        made = self._tried(lambda: self.world.releases.rollback(self.operator, "orders"))
        if made is not None:
            self._check(made)
            self._settle(made)

    @rule(number=st.sampled_from([1, 2]))
    def take_down(self, number: int) -> None:
        self._tried(
            lambda: self.world.takedowns.now(self.operator, "orders", reason="It leaks.", version=number)
        )

    @invariant()
    def audit_is_whole(self) -> None:
        if self.edits % 4 == 3:
            assert self.world.audit.verify(self.owner).findings == ()

    def _tried(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except IngotError:
            return None

    def _check(self, release: Release) -> None:
        """Count in our own books who saw what is released now."""
        for part in release.parts:
            epoch = part.bound.epoch
            self.released.append(part.digest)
            covers = self.policy.values is ValuesRule.APPROVED
            earlier = {values for digest, values in self.may_return if digest == part.digest}
            if epoch in earlier or (earlier and not covers):
                continue
            saw = {
                user
                for user, digest, values in self.seen
                if digest == part.digest and (not covers or values == epoch)
            }
            assert len(saw - self.involved[part.digest]) >= self.policy.approvals, part

    def _settle(self, release: Release) -> None:
        self.world.settle()
        for part in release.parts:
            self.may_return.add((part.digest, part.bound.epoch))
            self.reviewed_at = max(self.reviewed_at, self.frozen_at[part.digest])


@pytest.fixture
def machine(
    peopled: tuple[Path, People], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[type[Reviewing]]:
    """Return the machine, each of which gets a world of its own."""
    engines: list[Engine] = []

    def make_world() -> tuple[World, People]:
        path = tmp_path_factory.mktemp("machine") / "control.db"
        shutil.copy(peopled[0], path)
        engines.append(create_engine(f"sqlite:///{path}", schema=CONTROL_SCHEMA))
        return World(engines[-1], entropy=FakeEntropy(first=1_000_000)), peopled[1]

    Reviewing.released.clear()
    yield type("Machine", (Reviewing,), {"make_world": staticmethod(make_world)})
    for engine in engines:
        engine.dispose()


def test_nothing_is_released_that_others_have_not_seen(machine: type[Reviewing]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            # Making a failure smaller takes minutes, longer than a test may.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert len(Reviewing.released) > 30, "the machine found no way to a release"


@pytest.mark.parametrize("values", ValuesRule)
@pytest.mark.parametrize("approvals", [1, 2])
def test_every_disturbance_at_every_moment(
    machine: type[Reviewing], values: ValuesRule, approvals: int
) -> None:
    """What chance may miss: the books agree with each way to come between seeing and releasing."""
    calm = machine()
    calm.open(values, approvals)
    calm.publish(["rita", "rolf"], True, Moment.NEVER, "")
    assert len(Reviewing.released) == 1, "nobody is in the way"
    for moment in (Moment.AFTER_LOOKING, Moment.BEFORE_RELEASE):
        for disturbance in DISTURBANCES:
            disturbed = machine()
            disturbed.open(values, approvals)
            disturbed.publish(["rita", "rolf"], True, moment, disturbance)


def test_the_books_know_the_epoch_that_a_release_binds(world: World, people: People) -> None:
    """The machine compares epochs, so it would prove nothing if every epoch were the same."""
    key = ValueKey(ValueKind.SETTING, "API_URL")
    world.settings.put(people.operator, "main", key, "one")
    version = world.frozen(people.author, settings=["API_URL"])
    with world.changes.read(people.owner) as view:
        before = live_epoch(view, version)
    world.settings.put(people.operator, "main", key, "two", if_match="v1")
    with world.changes.read(people.owner) as view:
        assert live_epoch(view, version) not in {before, ""}
