"""Calls by the API: lists, one call's story for each who may see it, why, and running one again."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from control_plane.domain.access import Role
from control_plane.ports import TestOutcome
from tests.api.test_access import make_stranger
from tests.support.api import ApiWorld, Person
from tests.support.api_fixtures import ApiPeople
from tests.support.calls import Counted


@pytest.fixture
def counted(api: ApiWorld, people: ApiPeople) -> Counted:
    """A released version, whose calls can be counted."""
    version = api.world.frozen(people.author, "orders")
    api.world.approved(people.author, people.reviewer, version)
    api.world.released(people.operator, version)
    return Counted(api.usage, version, api.world.clock.now_ms() + 10_000)


def story(person: Person, identifier: str) -> dict[str, Any]:
    answer = person.get(f"/why/{identifier}")
    assert answer.status_code == 200, answer.text
    (call,) = answer.json["calls"]
    assert person.get(f"/invocations/{call['call']['id']}").json == call
    found: dict[str, Any] = call
    return found


def parts(told: dict[str, Any]) -> list[tuple[str, int, int]]:
    return [(part["name"], part["start_ms"], part["duration_ms"]) for part in told["waterfall"]]


def test_a_good_call_tells_route_key_version_release_approval_logs_and_trace(
    api: ApiWorld, people: ApiPeople, counted: Counted
) -> None:
    key = api.world.api_keys.create(people.owner, project="main", name="till").key
    call = counted.call(api_key=key.id, request_id="order 7/ü")
    api.logs.records[call.function] = [
        {"request_id": "order 7/ü", "message": "hello"},
        {"request_id": "another", "message": "not this"},
    ]
    told = story(api.person(people.author), "order 7/ü")
    assert (told["route"], told["version_number"], told["release_number"]) == ("acme/orders", 1, 1)
    assert told["pinned_url"] == "http://127.0.0.1:8081/acme/orders@1"
    assert (told["key_name"], told["call"]["api_key"]) == ("till", key.id)
    assert told["digest"] == api.world.versions.get(people.author, "orders", 1).digest
    assert [one["email"] for one in told["approvals"]] == [people.reviewer.email]
    assert [record["message"] for record in told["logs"]] == ["hello"]
    assert parts(told) == [("queue", 0, 2), ("connect", 2, 1), ("function", 3, 40)]
    assert (told["explained"], told["hidden"], told["unreviewed"]) == (None, [], False)
    assert told["call"]["trace_id"] == call.trace
    assert (told["call"]["outcome"], told["call"]["fault"]) == ("answered", "nobody")


def test_a_refused_call_names_the_rule_and_what_to_do(
    api: ApiWorld, people: ApiPeople, counted: Counted
) -> None:
    call = counted.refused("key_scope", 403)
    told = story(api.person(people.author), call.id)
    assert told["explained"]["rule"].startswith("The key may not call this function")
    assert "key" in told["explained"]["action"]
    assert (told["waterfall"], told["logs"], told["instance"]) == ([], [], "")
    assert (told["call"]["fault"], told["call"]["billed_ms"]) == ("caller", 0)


@pytest.mark.parametrize(
    ("reason", "fault", "word"),
    [
        ("crashed", "author", "by itself"),
        ("out_of_memory", "author", "memory"),
        ("evicted", "platform", "host"),
    ],
)
def test_a_broken_call_says_whose_fault_by_the_exit(
    api: ApiWorld, people: ApiPeople, counted: Counted, reason: str, fault: str, word: str
) -> None:
    told = story(api.person(people.author), counted.crashed(reason).id)
    assert (told["call"]["exit_reason"], told["call"]["fault"]) == (reason, fault)
    assert word in told["explained"]["rule"]


def test_a_cold_call_shows_the_start_and_a_stream_its_whole_time(
    api: ApiWorld, people: ApiPeople, counted: Counted
) -> None:
    person = api.person(people.author)
    cold = story(person, counted.cold().id)
    assert parts(cold)[2:] == [("cold start", 3, 15), ("function", 18, 25)]
    assert (cold["instance"], cold["level"], cold["call"]["cold_ms"]) == ("ins1", 2, 15)
    assert "ready at +18 ms" in cold["waterfall"][2]["note"]
    stream = story(person, counted.streamed(target="t2").id)
    assert (stream["call"]["mode"], stream["call"]["stream"]) == ("stream", "ended")
    assert parts(stream)[-1][2] == 895


def test_an_id_that_several_calls_carry_tells_of_each(
    api: ApiWorld, people: ApiPeople, counted: Counted
) -> None:
    first = counted.call(ago_ms=3_000, request_id="same")
    second = counted.refused("rate_limited", 429, ago_ms=2_000, request_id="same")
    found = api.person(people.author).get("/why/same").json
    assert [call["call"]["id"] for call in found["calls"]] == [first.id, second.id]


def test_what_one_may_not_see_is_empty_and_named(api: ApiWorld, people: ApiPeople, counted: Counted) -> None:
    key = api.world.api_keys.create(people.owner, project="main", name="secret name").key
    call = counted.call(api_key=key.id)
    api.logs.records[call.function] = [{"request_id": call.id, "message": "private"}]
    told = story(api.person(api.world.member(people.owner, "vic", Role.VIEWER)), call.id)
    assert (told["logs"], told["key_name"]) == ([], "")
    assert told["hidden"] == ["log:read", "api_key:read"]
    assert told["approvals"]


def test_calls_of_others_are_not_there(api: ApiWorld, people: ApiPeople, counted: Counted) -> None:
    call = counted.call(request_id="r-1")
    stranger = api.person(make_stranger(api))
    absent = api.person(people.author).get("/why/nothing-of-the-kind")
    for path in (f"/why/{call.id}", "/why/r-1", f"/invocations/{call.id}"):
        answer = stranger.get(path)
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert absent.status_code == 404
    assert "X-Request-Id" in absent.json["hint"]
    elsewhere = api.world.projects.create(people.owner, name="elsewhere")
    outsider = api.person(api.world.member(people.owner, "out", Role.AUTHOR, project=elsewhere.id))
    assert outsider.get(f"/invocations/{call.id}").status_code == 404
    assert outsider.post(f"/invocations/{call.id}/rerun", {}).status_code == 404


def test_calls_without_a_function_are_for_those_who_watch_the_system(
    api: ApiWorld, people: ApiPeople, counted: Counted
) -> None:
    lost = counted.refused("no_such_function", 404, organization="", project="", function="", version="")
    told = story_of(api.person(people.owner), lost.id)
    assert "Nothing is released" in told["explained"]["rule"]
    assert api.person(people.author).get(f"/why/{lost.id}").status_code == 404


def story_of(person: Person, identifier: str) -> dict[str, Any]:
    (call,) = person.get(f"/why/{identifier}").json["calls"]
    found: dict[str, Any] = call
    return found


def listed(person: Person, query: str = "") -> list[str]:
    answer = person.get(f"/invocations{query}")
    assert answer.status_code == 200, answer.text
    return [call["id"] for call in answer.json["items"]]


def test_lists_are_filtered_and_paged(api: ApiWorld, people: ApiPeople, counted: Counted) -> None:
    person = api.person(people.author)
    good = counted.call(ago_ms=9_000, api_key="key_1")
    failed = counted.call(ago_ms=8_000, status=500)
    refused = counted.refused("key_missing", 401, ago_ms=7_000, version="")
    stream = counted.streamed(ago_ms=6_000)
    assert listed(person) == [stream.id, refused.id, failed.id, good.id]
    for query, expected in (
        ("?fault=author", [failed]),
        ("?outcome=refused", [refused]),
        # No outcome fits both, which must not become no filter at all.
        ("?outcome=refused&fault=author", []),
        ("?status=4xx", [refused]),
        ("?status=500", [failed]),
        ("?mode=stream", [stream]),
        ("?key=key_1", [good]),
        ("?function=orders&version=1&mode=sync", [failed, good]),
        ("?cold=true", []),
    ):
        assert listed(person, query) == [call.id for call in expected], query
    first = person.get("/invocations?limit=3&fields=id").json
    rest = person.get(f"/invocations?limit=3&fields=id&cursor={first['next_cursor']}").json
    assert [one["id"] for one in first["items"] + rest["items"]] == listed(person)
    assert rest["next_cursor"] is None


def test_lists_refuse_what_no_call_can_be(api: ApiWorld, people: ApiPeople, counted: Counted) -> None:
    person = api.person(people.author)
    counted.call()
    for query in (
        "?status=999",
        "?outcome=lost",
        "?version=1",
        "?from=yesterday",
        "?function=orders&version=9",
    ):
        assert person.get(f"/invocations{query}").status_code == 422, query
    backwards = person.get("/invocations?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z")
    assert backwards.json["errors"][0]["pointer"] == "/from"


def test_a_call_runs_again_with_a_payload_that_is_sent_again(
    api: ApiWorld, people: ApiPeople, counted: Counted
) -> None:
    person, call = api.person(people.author), counted.call()
    runtime = api.world.runtime
    runtime.outcome = TestOutcome(status=200, body=b"again", duration_ms=3.5)
    body = {"body": base64.b64encode(b'{"n": 1}').decode()}
    done = person.post(f"/invocations/{call.id}/rerun", body)
    assert done.status_code == 201, done.text
    assert (done.json["version_number"], done.json["same"], done.json["status"]) == (1, True, 200)
    assert base64.b64decode(done.json["body"]) == b"again"
    target = runtime.tests[-1][0]
    assert (target.version, target.digest) == (call.version, done.json["digest"])
    entry = api.world.audit.entries(people.owner, limit=1, newest_first=True).items[0]
    assert (entry.action, entry.details["invocation"]) == ("invocation.rerun", call.id)
    assert "eyJuIjogMX0" not in str(entry)
    runtime.outcome = TestOutcome(code="crashed", message="It ended.")
    assert person.post(f"/invocations/{call.id}/rerun", body).json["same"] is False


def test_what_never_reached_a_version_cannot_run_again(
    api: ApiWorld, people: ApiPeople, counted: Counted
) -> None:
    refused = counted.refused("key_missing", 401, version="")
    answer = api.person(people.author).post(f"/invocations/{refused.id}/rerun", {})
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    call = counted.call()
    reader = api.person(api.world.member(people.owner, "vic", Role.VIEWER))
    assert reader.post(f"/invocations/{call.id}/rerun", {}).status_code == 403
