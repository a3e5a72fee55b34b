"""Watching on the command line: why, single calls, usage, the monitor and the audit."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.services.audit import Audit
from tests.support.api_fixtures import ApiPeople
from tests.support.calls import Counted
from tests.support.live_api import LiveApi


@pytest.fixture
def counted(live: LiveApi, people: ApiPeople) -> Counted:
    world = live.api.world
    version = world.frozen(people.author, "orders")
    world.approved(people.author, people.reviewer, version)
    world.released(people.operator, version)
    # The served application reads the real clock where it says “the last hour”.
    from control_plane.api.spans import now_ms

    return Counted(live.api.usage, version, now_ms())


def test_why_shows_a_call_on_one_screen(
    live: LiveApi, people: ApiPeople, counted: Counted, tmp_path: Path
) -> None:
    line = live.as_(people.author, tmp_path / "home")
    call = counted.cold(request_id="r/1 \x1b[31m")
    live.api.logs.records[call.function] = [
        {"request_id": call.request_id, "level": "info", "message": "working\x1b[2J"}
    ]
    shown = line.ok("why", call.request_id)
    for part in (
        "answered: status 200",
        "acme/orders, version 1 (sha256:",
        "instance ins1",
        f"approval  {people.reviewer.email}",
        f"trace     {call.trace}",
        "queue            2 ms",
        "cold start      15 ms",
        "total           43 ms",
        "billed 25 ms × 128 MB",
        "INFO     r/1  [31m  working [2J",
    ):
        assert part in shown, (part, shown)
    assert "\x1b" not in shown
    assert "working" not in line.ok("why", call.request_id, "--no-logs")
    assert line.json("why", call.id)["calls"][0]["call"]["id"] == call.id


def test_why_of_a_refused_call_says_what_to_do_and_of_no_call_fails(
    live: LiveApi, people: ApiPeople, counted: Counted, tmp_path: Path
) -> None:
    line = live.as_(people.author, tmp_path / "home")
    refused = counted.refused("rate_limited", 429, request_id="same")
    counted.crashed(ago_ms=500, request_id="same")
    result = line.run("why", "same")
    assert result.exit_code == 0, result.stderr
    assert "2 calls carry this request id" in result.stderr
    assert "refused, the caller's fault: status 429 rate_limited" in result.stdout
    assert "to do     Call less often" in result.stdout
    assert "failed, the author's fault: status 502 function_failed, instance crashed" in result.stdout
    assert "not billed" in result.stdout
    assert refused.id in result.stdout
    absent = line.run("why", "nothing")
    assert absent.exit_code == 4
    assert "No call with the request id" in absent.stderr


def test_single_calls_are_listed_shown_and_run_again(
    live: LiveApi, people: ApiPeople, counted: Counted, tmp_path: Path
) -> None:
    line = live.as_(people.author, tmp_path / "home")
    good, bad = counted.call(ago_ms=2_000), counted.call(status=500)
    rows = line.json("invocation", "list", "orders", "--fault", "author")
    assert [row["id"] for row in rows] == [bad.id]
    assert [row["id"] for row in line.json("invocation", "list", "--status", "2xx")] == [good.id]
    assert "billed 40 ms" in line.ok("invocation", "get", good.id)
    done = line.run("invocation", "rerun", good.id, "--data", '{"n": 1}')
    assert (done.exit_code, done.stdout) == (0, "{}")
    assert "Version 1: status 200, as the call met it." in done.stderr
    _, sent = live.api.world.runtime.tests[-1]
    assert (sent.body, sent.headers) == (b'{"n": 1}', (("content-type", "application/json"),))


def test_usage_is_summed_and_exported(
    live: LiveApi, people: ApiPeople, counted: Counted, tmp_path: Path
) -> None:
    line = live.as_(people.owner, tmp_path / "home")
    counted.call()
    counted.call(status=500)
    assert [row["calls"] for row in line.json("usage", "--by", "version")] == [2]
    assert len(line.json("usage", "--by", "outcome")) == 2
    assert line.json("usage", "--by", "hour")[0]["label"].endswith(":00:00Z")
    rows = list(csv.DictReader(io.StringIO(line.ok("usage", "export", "--unit", "hour"))))
    assert sorted((row["function_name"], row["outcome"], row["calls"]) for row in rows) == [
        ("orders", "answered", "1"),
        ("orders", "failed", "1"),
    ]
    path = tmp_path / "usage.jsonl"
    line.ok("usage", "export", "--format", "jsonl", "--save", str(path))
    assert sum(json.loads(row)["calls"] for row in path.read_text().splitlines()) == 2
    # No host ever served these.
    compared = line.run("-o", "json", "usage", "reconcile")
    assert (compared.exit_code, json.loads(compared.stdout)["counts"]["events"]) == (1, 2)
    assert live.as_(people.operator, tmp_path / "other").run("usage", "reconcile").exit_code == 3


def test_the_monitor_shows_functions_to_all_and_the_machine_to_few(
    live: LiveApi, people: ApiPeople, counted: Counted, tmp_path: Path
) -> None:
    counted.call()
    counted.cold(target="t9")
    line = live.as_(people.author, tmp_path / "home")
    (series,) = line.json("monitor", "functions", "orders")["items"]
    assert sum(point["calls"] for point in series["points"]) == 2
    assert "P95 MS" in line.ok("monitor", "functions")
    assert line.ok("monitor", "functions", "orders", "--by-version").splitlines()[0] == "orders 1"
    assert sum(point["calls"] for point in line.json("monitor", "queue")["points"]) == 2
    assert line.run("monitor", "system").exit_code == 3
    owner = live.as_(people.owner, tmp_path / "owner")
    assert owner.json("monitor", "--step", "60", "system")["step_s"] == 60
    assert owner.json("monitor", "api")["points"] == []


def test_an_exported_audit_is_verified_without_a_server(
    live: LiveApi, people: ApiPeople, tmp_path: Path
) -> None:
    world = live.api.world
    signed = Audit(world.changes, Ed25519Signer(bytes(range(32))), world.anchor)
    object.__setattr__(live.api.services, "audit", signed)
    world.frozen(people.author, "orders")
    signed.checkpoint(force=True)
    line = live.as_(people.owner, tmp_path / "home")
    key, path = line.ok("audit", "key").strip(), tmp_path / "audit.jsonl"
    line.ok("audit", "export", "--save", str(path))
    offline = live.as_(None, tmp_path / "nobody")
    offline.url = "http://127.0.0.1:9"
    report = offline.json("audit", "verify", str(path), "--key", key)
    assert (report["intact"], report["checkpoints"], report["key"]) == (True, 1, key)
    lines = path.read_text().splitlines(keepends=True)
    assert report["entries"] == len(lines) - 3
    edited = [line.replace('"outcome":"done"', '"outcome":"none"') for line in lines]
    for damaged, word in ((edited, "hash"), (lines[:5] + lines[-1:], "seal"), (lines[:-1], "seal")):
        path.write_text("".join(damaged))
        result = offline.run("-o", "json", "audit", "verify", str(path), "--key", key)
        assert result.exit_code == 1
        assert word in result.stdout
    path.write_text("".join(lines))
    assert offline.run("audit", "verify", str(path), "--key", "AAAA").exit_code == 1
    assert "name the one that you trust" in offline.run("audit", "verify", str(path)).stderr


def test_the_audit_is_asked_who_what_and_when(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    live.api.world.frozen(people.author, "orders")
    line = live.as_(people.owner, tmp_path / "home")
    mine = line.json("audit", "list", "--actor", people.author.user, "--limit", "3")
    assert len(mine) == 3
    assert {row["actor"]["user"] for row in mine} == {people.author.user}
    assert [row["sequence"] for row in mine] == sorted(row["sequence"] for row in mine)
    frozen = line.json("audit", "list", "--action", "version.freeze")
    assert {row["action"] for row in frozen} == {"version.freeze"}
    assert line.json("audit", "list", "--subject", frozen[0]["subject"])
    assert line.json("audit", "list", "--from", "2100-01-01T00:00:00Z") == []
    everything = line.json("audit", "list", "--limit", "1000")
    assert line.json("audit", "list", "--to", "2100-01-01T00:00:00Z", "--limit", "1000") == everything
