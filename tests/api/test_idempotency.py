"""A creating request may be repeated: it gets the first answer and creates nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.access import Role
from control_plane.errors import Unavailable
from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople

KEY = {"Idempotency-Key": "0b6c3f1e"}


def test_a_repeat_gets_the_first_answer(api: ApiWorld, people: ApiPeople) -> None:
    operator = api.person(people.operator)
    first = operator.post("/projects/main/api-keys", {"name": "shop"}, headers=KEY)
    again = operator.post("/projects/main/api-keys", {"name": "shop"}, headers=KEY)
    assert (again.status_code, again.json) == (201, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert len(operator.get("/projects/main/api-keys").json["items"]) == 1


def test_the_stored_answer_shows_no_key(api: ApiWorld, people: ApiPeople) -> None:
    text = (
        api.person(people.operator).post("/projects/main/api-keys", {"name": "s"}, headers=KEY).json["text"]
    )
    with api.world.store.read() as unit:
        stored = unit.idempotency.get(
            people.operator.organization, people.operator.user, KEY["Idempotency-Key"]
        )
    assert stored is not None
    assert text not in stored.answer


def test_another_request_with_the_key_is_refused(api: ApiWorld, people: ApiPeople) -> None:
    owner = api.person(people.owner)
    owner.post("/tokens", {"name": "one"}, headers=KEY)
    for path, body in (("/tokens", {"name": "two"}), ("/projects", {"name": "one"})):
        answer = owner.post(path, body, headers=KEY)
        assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")


def test_a_key_belongs_to_one_person(api: ApiWorld, people: ApiPeople) -> None:
    first = api.person(people.owner).post("/tokens", {"name": "one"}, headers=KEY)
    other = api.person(people.author).post("/tokens", {"name": "one"}, headers=KEY)
    assert other.status_code == 201
    assert other.json["text"] != first.json["text"]


def test_a_repeat_while_the_first_runs_is_told_to_wait(api: ApiWorld, people: ApiPeople) -> None:
    author = api.person(people.author)
    api.world.drafted(people.author)
    etag = author.get("/functions/orders/draft").headers["ETag"]
    headers = {**KEY, "If-Match": etag}
    seen: list[Any] = []
    api.world.builder.meanwhile = lambda: seen.append(
        author.post("/functions/orders/versions", headers=headers) if not seen else None
    )
    # The second request arrives while the first one builds.
    seen_first = author.post("/functions/orders/versions", headers=headers)
    assert (seen[0].status_code, seen[0].json["code"]) == (409, "idempotency_key_in_use")
    assert seen_first.status_code == 201


def test_a_failed_attempt_does_not_use_the_key_up(
    api: ApiWorld, people: ApiPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = api.person(people.owner)

    def fail(*_: object, **__: object) -> None:
        raise Unavailable("The database does not answer.")

    with monkeypatch.context() as broken:
        broken.setattr(type(api.services.projects), "create", fail)
        assert owner.post("/projects", {"name": "next"}, headers=KEY).status_code == 503
    assert owner.post("/projects", {"name": "next"}, headers=KEY).status_code == 201


def test_an_attempt_that_died_may_be_repeated_later(api: ApiWorld, people: ApiPeople) -> None:
    idempotency = api.services.idempotency
    assert idempotency.begin(people.owner, "k", "print") is None
    api.world.clock.advance(seconds=16 * 60)
    assert idempotency.begin(people.owner, "k", "print") is None


def test_a_key_is_forgotten_after_a_day(api: ApiWorld, people: ApiPeople) -> None:
    owner = api.person(people.owner)
    first = owner.post("/tokens", {"name": "one"}, headers=KEY).json
    api.world.clock.advance(hours=25)
    again = owner.post("/tokens", {"name": "one"}, headers=KEY).json
    assert again["token"]["id"] != first["token"]["id"]


def test_a_right_that_was_lost_is_not_replayed(api: ApiWorld, people: ApiPeople) -> None:
    operator = api.person(people.operator)
    operator.post("/projects/main/api-keys", {"name": "shop"}, headers=KEY)
    api.world.members.grant(people.owner, people.operator.user, role=Role.VIEWER)
    api.world.members.withdraw(people.owner, people.operator.user, role=Role.OPERATOR)
    assert operator.post("/projects/main/api-keys", {"name": "shop"}, headers=KEY).status_code == 403


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "naïve"])
def test_a_malformed_key_is_refused(api: ApiWorld, people: ApiPeople, key: str) -> None:
    answer = api.person(people.owner).post("/tokens", {"name": "one"}, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid")
