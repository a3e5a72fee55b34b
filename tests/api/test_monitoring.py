"""Figures by the API: usage in pages and exports, series, what a scraper is told, readiness, the audit."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from control_plane.api.spans import now_ms
from control_plane.domain.access import Role
from control_plane.domain.audit_export import verify_export
from control_plane.domain.monitoring import Reading
from control_plane.store.usage_series import SeriesLedger
from tests.api.test_access import make_stranger
from tests.support.api import ApiWorld, Person
from tests.support.api_fixtures import ApiPeople
from tests.support.calls import Counted
from tests.support.fakes import FakeSigner


@pytest.fixture
def counted(api: ApiWorld, people: ApiPeople) -> Counted:
    return Counted(api.usage, api.world.frozen(people.author, "orders"), now_ms())


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


def ok(person: Person, path: str, **query: Any) -> Any:
    answer = person.get(path, query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_sums_come_in_pages_over_projects(api: ApiWorld, people: ApiPeople, counted: Counted) -> None:
    other = api.world.projects.create(people.owner, name="other")
    for number in range(5):
        counted.call(function=f"fn_{number}", project=other.id if number % 2 else counted.call().project)
    owner = api.person(people.owner)
    whole = ok(owner, "/usage")
    found: list[Any] = []
    cursor = None
    while True:
        page = ok(owner, "/usage", limit=2, **({"cursor": cursor} if cursor else {}))
        assert len(page["items"]) <= 2
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == whole["items"]
    assert len({(row["project"], row["group"]) for row in found}) == len(found) == 6
    assert ok(owner, "/usage", group_by="hour")["items"][0]["label"].endswith("00:00Z")
    assert {row["label"] for row in ok(owner, "/usage", group_by="version")["items"]} == {"orders 1"}
    assert ok(owner, "/usage", **{"from": ago(days=3), "to": ago(days=2)})["items"] == []
    assert owner.get("/usage?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z").status_code == 422


def test_an_export_is_of_what_one_may_see(api: ApiWorld, people: ApiPeople, counted: Counted) -> None:
    counted.call()
    owner, stranger = api.person(people.owner), api.person(make_stranger(api))
    lines = owner.get("/usage/export?format=jsonl").text.splitlines()
    (row,) = [json.loads(line) for line in lines]
    assert (row["function_name"], row["calls"], row["billed_ms"]) == ("orders", 1, 40)
    answer = stranger.get("/usage/export")
    assert (answer.status_code, len(answer.text.splitlines())) == (200, 1)
    assert answer.headers["Content-Type"].startswith("text/csv")


def test_series_show_functions_to_those_who_see_their_project(
    api: ApiWorld, people: ApiPeople, counted: Counted
) -> None:
    counted.call(ago_ms=120_000)
    call = counted.call(ago_ms=120_000, status=500, response_ms=700, queue_ms=18)
    key = (call.organization, call.project, call.function, call.version)
    SeriesLedger(api.usage).keep([Reading(call.accepted_ms, {}, {key: 3})])
    person = api.person(people.author)
    answer = ok(person, "/monitor/functions", function="orders", step=60)
    (series,) = answer["items"]
    (point,) = [point for point in series["points"] if point["calls"]]
    assert (answer["step_s"], point["calls"], point["author_faults"], point["instances"]) == (60, 2, 1, 3)
    assert (point["queue_ms"], point["mean_ms"]) == (10.0, 370.0)
    assert 25 <= point["p50_ms"] <= 50
    assert 500 <= point["p95_ms"] <= 1_000
    by_version = ok(person, "/monitor/functions", by_version="true")["items"]
    assert [(one["version"], one["name"]) for one in by_version] == [(call.version, "orders 1")]
    assert series["name"] == "orders"
    queue = ok(person, "/monitor/queue", function="orders", step=3_600)["points"]
    assert [(one["calls"], one["queue_ms"]) for one in queue] == [(2, 10.0)]
    stranger = api.person(make_stranger(api))
    assert ok(stranger, "/monitor/functions")["items"] == []
    assert stranger.get("/monitor/functions?function=orders").status_code == 404
    assert person.get("/monitor/functions?step=61").json["errors"][0]["pointer"] == "/step"


def test_the_machine_is_shown_to_those_who_watch_the_system(api: ApiWorld, people: ApiPeople) -> None:
    at = now_ms() // 60_000 * 60_000 - 120_000
    values = {"cpu_percent": 40.0, "queued": 3.0, "api_requests": 50.0, "api_ms": 7.0}
    fast, slow = {"api_bucket_3": 90.0}, {"api_bucket_3": 0.0, "api_bucket_8": 10.0}
    later = Reading(at + 10_000, {"cpu_percent": 60.0, **slow})
    SeriesLedger(api.usage).keep([Reading(at, {**values, **fast, "api_bucket_8": 0.0}), later])
    owner = api.person(people.owner)
    (point,) = ok(owner, "/monitor/system", step=60)["points"]
    assert (point["cpu_percent"], point["queued"], point["lease_s"]) == (50.0, 3.0, None)
    (point,) = ok(owner, "/monitor/api", step=60)["points"]
    assert (point["requests_per_s"], point["mean_ms"], point["failed_per_s"]) == (5.0, 7.0, None)
    assert 250 < point["p95_ms"] <= 500, "one of ten was slow, in whichever sample"
    admin = api.person(api.world.member(people.owner, "ann", Role.ADMIN))
    for path in ("/monitor/system", "/monitor/api", "/usage/reconciliation"):
        assert admin.get(path).status_code == 403, path
        assert owner.get(path).status_code == 200, path


def samples(person: Person) -> dict[str, list[Any]]:
    answer = person.get("//metrics")
    assert answer.status_code == 200, answer.text
    found: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def test_a_scraper_is_told_of_its_organizations_functions(
    api: ApiWorld, people: ApiPeople, counted: Counted
) -> None:
    counted.now_ms = api.world.clock.now_ms()
    call = counted.call()
    counted.crashed()
    counted.refused("key_scope", 403, organization="org_far", function="fn_far")
    told = samples(api.person(people.author))
    labels = {"function": call.function, "version": call.version}
    (calls,) = told["ingot_function_calls_total"]
    assert (calls.labels, calls.value) == (labels, 2.0)
    faults = {one.labels["fault"]: one.value for one in told["ingot_function_errors_total"]}
    assert faults == {"caller": 0.0, "author": 1.0, "platform": 0.0}
    buckets = {one.labels["le"]: one.value for one in told["ingot_function_duration_seconds_bucket"]}
    assert (buckets["0.025"], buckets["0.05"], buckets["+Inf"]) == (0.0, 2.0, 2.0)
    assert told["ingot_function_duration_seconds_count"][0].value == 2.0
    assert "ingot_meter_lag_lines" not in told
    assert samples(api.person(people.author))["ingot_http_requests_total"]


def test_a_scraper_that_watches_the_system_is_told_of_the_machine(api: ApiWorld, people: ApiPeople) -> None:
    SeriesLedger(api.usage).keep([Reading(now_ms(), {"lag_lines": 4.0, "lease_s": 5.0, "connections": 9.0})])
    told = samples(api.person(people.owner))
    assert told["ingot_meter_lag_lines"][0].value == 4.0
    assert told["ingot_gateway_sessions"][0].value == 9.0
    guest = api.person(api.world.member(people.owner, "gus", Role.BILLING))
    assert guest.get("//metrics").status_code == 403


def test_readiness_names_the_part_that_does_not_answer(api: ApiWorld) -> None:
    nobody = api.nobody()
    assert nobody.get("//readyz").text == "ready: control database, usage database\n"
    # Put back, as the next test may get the same database.
    with api.usage.begin() as connection:
        connection.execute(text("ALTER TABLE log_hours RENAME TO elsewhere"))
    answer = nobody.get("//readyz")
    with api.usage.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO log_hours"))
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert answer.json["errors"] == [
        {"pointer": "/usage_database", "detail": "The usage database does not answer."}
    ]
    assert "log_hours" not in answer.text
    assert nobody.get("//livez").status_code == 200


def test_an_audit_export_is_the_chain_and_proves_itself(api: ApiWorld, people: ApiPeople) -> None:
    api.world.frozen(people.author, "orders")
    api.world.audit.checkpoint(force=True)
    api.world.frozen(people.author, "orders", "x = 2\n")
    owner = api.person(people.owner)
    lines = owner.get("/audit/export").text.splitlines()
    signer = FakeSigner()
    found = verify_export(lines, lambda _key, message, mark: signer.verify(message, mark))
    assert found.findings == []
    listed = ok(owner, "/audit", limit=100, order="newest")["items"]
    assert found.entries >= len(listed[:100]) - 1
    assert found.key == ok(owner, "/audit/key")["public_key"]
    assert api.person(people.author).get("/audit/export").status_code == 403
    assert "orders" not in api.person(make_stranger(api)).get("/audit/export").text


def test_audit_entries_are_found_by_every_field(api: ApiWorld, people: ApiPeople) -> None:
    api.world.frozen(people.author, "orders")
    owner = api.person(people.owner)
    everything = ok(owner, "/audit", limit=100)["items"]
    one = next(entry for entry in everything if entry["action"] == "version.freeze")
    for query in (
        {"actor": people.author.user},
        {"action": one["action"]},
        {"subject": one["subject"]},
        {"request_id": one["request"]} if one["request"] else {"action": one["action"]},
    ):
        found = ok(owner, "/audit", limit=100, **query)["items"]
        assert one in found
        assert len(found) < len(everything)
    backwards, cursor = [], None
    while True:
        page = ok(owner, "/audit", limit=7, order="newest", **({"cursor": cursor} if cursor else {}))
        backwards += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert backwards == everything[::-1]
    assert ok(owner, "/audit", **{"from": "2999-01-01T00:00:00Z"})["items"] == []
    assert ok(owner, "/audit", limit=100, to="2999-01-01T00:00:00Z")["items"] == everything
