"""The slice and its races through the services, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy import Engine

from control_plane.domain.access import Role
from control_plane.domain.releases import ReleaseState
from control_plane.errors import IngotError
from control_plane.services.releases import Wish
from tests.support.builders import World


def at_once(*actions: Callable[[], object]) -> list[Exception]:
    """Run each action in a thread of its own, all together; return what was no refusal."""
    gate = threading.Barrier(len(actions))
    problems: list[Exception] = []

    def run(action: Callable[[], object]) -> None:
        gate.wait(10)
        try:
            action()
        except IngotError:
            pass
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return problems


def test_the_slice_and_a_race_that_publishes_nothing_unseen(engine: Engine) -> None:
    world = World(engine)
    owner = world.owner()
    author = world.member(owner, "ada", Role.AUTHOR)
    reviewer = world.member(owner, "rita", Role.REVIEWER)
    seen = world.frozen(author)
    review = world.reviews.submit(author, "orders", 1)

    def edit() -> None:
        evil = world.frozen(author, text="evil = 1\n")
        world.reviews.submit(author, "orders", evil.number)

    def release_newest() -> None:
        newest = world.versions.get(owner, "orders", world.versions.list(owner, "orders").items[0].number)
        world.releases.apply(owner, "orders", [Wish(newest.number, 100)])

    def approve() -> None:
        world.reviews.approve(reviewer, review.id, digest=seen.digest)

    assert at_once(edit, approve, release_newest, release_newest) == []
    world.settle()
    parts = [part for one in world.releases.list(owner, "orders") for part in one.parts]
    assert {part.digest for part in parts} <= {seen.digest}
    newest = world.versions.get(owner, "orders", world.versions.list(owner, "orders").items[0].number)
    again = next(one for one in world.review_lists.list(reviewer).items if one.number == newest.number)
    if again.open:
        world.reviews.approve(reviewer, again.id, digest=newest.digest)
    assert world.released(owner, newest).state is ReleaseState.LIVE
    assert world.audit.verify(owner).findings == ()


def test_the_first_owner_is_one_person(engine: Engine) -> None:
    world = World(engine)
    text = world.accounts.open_claim()

    def claim(name: str) -> Callable[[], object]:
        password = "a rather long sentence"
        return lambda: world.accounts.claim(
            text, email=f"{name}@acme.example", name=name, password=password, organization=name
        )

    assert at_once(*(claim(name) for name in ("ada", "bea", "cleo"))) == []
    with world.store.read() as unit:
        assert unit.identity.count_users() == 1
        assert len(unit.identity.organization_names()) == 1


def test_guesses_at_once_gain_nothing(engine: Engine) -> None:
    world = World(engine)
    owner = world.owner()
    tried: list[str] = []
    verify = world.sessions._passwords.verify

    def counted(stored: str, password: str) -> bool:
        tried.append(password)
        return verify(stored, password)

    world.sessions._passwords.verify = counted  # type: ignore[method-assign]

    def guess(number: int) -> Callable[[], object]:
        return lambda: world.sessions.login(email=owner.email, password=f"guess {number}")

    assert at_once(*(guess(number) for number in range(8))) == []
    assert len(tried) == 4, "three are free, the fourth starts the waiting"
