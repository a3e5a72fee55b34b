"""Releases and keys on the command line: plans, shares, tags, guards, and what was not seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_slice import worker
from tests.support.api_fixtures import ApiPeople
from tests.support.live_api import CommandLine, LiveApi


@pytest.fixture
def operator(live: LiveApi, people: ApiPeople, tmp_path: Path) -> CommandLine:
    """Two approved versions, the first one live."""
    world = live.api.world
    for number in (1, 2):
        version = world.frozen(people.author, text=f"x = {number}\n")
        world.approved(people.author, people.reviewer, version)
    line = live.as_(people.operator, tmp_path / "o")
    with worker(live):
        line.ok("release", "apply", "orders", "--version", "1")
    return line


def test_a_plan_is_shown_and_applied_as_it_was_seen(live: LiveApi, operator: CommandLine) -> None:
    planned = operator.run(
        "release", "plan", "orders", "--canary", "10", "--max-errors", "5", "--note", "try"
    )
    assert planned.exit_code == 0, planned.stderr
    assert "version 2" in planned.stdout
    assert "@canary" in planned.stdout
    assert "at most 5 % errors" in planned.stdout
    assert "Version 2: approved." in planned.stderr
    assert "--seen r1" in planned.stderr
    with worker(live):
        shown = operator.ok(
            "release", "apply", "orders", "--canary", "10", "--max-errors", "5", "--max-p95", "900",
            "--min-calls", "7", "--steps", "50,100", "--step-minutes", "5", "--seen", "r1", "--note", "try",
        )  # fmt: skip
    assert "version 1 90 %, version 2 10 % (@canary)" in shown
    assert "5 % errors, p95 900 ms, back to release 1" in shown
    late = operator.run("release", "apply", "orders", "--version", "1", "--seen", "r1", "--no-wait")
    assert late.exit_code == 5
    assert "release 2 is the newest" in late.stderr
    listed = operator.ok("release", "list", "orders")
    assert "omar" in listed
    assert "try" in listed


def test_calls_are_split_tagged_and_brought_back(live: LiveApi, operator: CommandLine) -> None:
    with worker(live):
        split = operator.json("release", "split", "orders", "1=60", "2=40@beta", "--note", "compare")
        assert [(part["number"], part["percent"], part["tag"]) for part in split["parts"]] == [
            (1, 60, ""),
            (2, 40, "beta"),
        ]
        tagged = operator.json("release", "tag", "orders", "stable", "--version", "1")
        assert [part["tag"] for part in tagged["parts"]] == ["stable", "beta"]
        assert "beta" in operator.ok("release", "tag", "orders", "all")
        gone = operator.json("release", "tag", "orders", "beta", "--remove")
        assert [part["tag"] for part in gone["parts"]] == ["stable", ""]
        assert (
            operator.json("release", "rollback", "orders", "--to", "1", "--plan")["parts"][0]["number"] == 1
        )
        back = operator.json("--yes", "release", "rollback", "orders", "--to", "1", "--note", "enough")
    assert (back["rollback_of"], back["note"]) == (1, "Rollback, values of release 1: enough")
    assert operator.run("release", "split", "orders", "1:60").exit_code == 2
    assert operator.run("release", "split", "orders", "1=60", "2=30").exit_code == 1


def test_a_guard_is_set_shown_and_taken_away(operator: CommandLine) -> None:
    assert operator.json("release", "guard", "orders")["guard"] is None
    guard = operator.json("release", "guard", "orders", "--max-p95", "800", "--window", "30", "--watch", "15")
    assert (guard["guard"]["p95_ms"], guard["guard"]["window_s"], guard["guard"]["watch_s"]) == (800, 30, 900)
    assert guard["watched_until"] > guard["live_at"]
    assert "A guard watches it." in operator.ok("release", "status", "orders")
    assert operator.json("release", "guard", "orders", "--off")["guard"] is None


def test_a_key_is_named_by_its_name_or_a_beginning_of_one(operator: CommandLine) -> None:
    for name in ("shop", "shop-of-orders", "till"):
        operator.ok("key", "create", name, "--project", "main")
    shop = operator.json("key", "show", "shop")
    assert shop["name"] == "shop", "the whole name wins over the beginning of another"
    assert operator.json("key", "show", "Shop-")["name"] == "shop-of-orders"
    several = operator.run("key", "revoke", "sho")
    assert (several.exit_code, shop["id"] in several.stderr) == (5, True)
    none = operator.run("key", "rotate", "nothing")
    assert (none.exit_code, "ingot key list" in none.stderr) == (4, True)
    assert "till (key_" in operator.run("--yes", "key", "revoke", "til").stderr
    operator.ok("key", "create", "till", "--project", "main")
    assert operator.json("key", "show", "till")["revoked_at"] is None, "the one that can be used"
    assert operator.json("key", "change", "till", "--rate", "5")["rate_10s"] == 5
    assert [one["name"] for one in operator.json("key", "list", "--state", "revoked")] == ["till"]
    assert [one["name"] for one in operator.json("key", "list", "--name", "shop-")] == ["shop-of-orders"]
    assert len(operator.json("key", "list", "--function", "orders", "--state", "active")) == 3


def test_a_key_is_made_bound_changed_rotated_and_ended(operator: CommandLine) -> None:
    text = operator.ok(
        "key", "create", "shop", "--function", "orders", "--mode", "sync", "--from", "192.0.2.0/24"
    ).strip()
    made = operator.json("key", "list")[0]
    assert (made["modes"], made["networks"], made["last_used_at"]) == (["sync"], ["192.0.2.0/24"], None)
    assert operator.run("key", "create", "bad", "--from", "nowhere").exit_code == 1
    rotated = operator.run("key", "rotate", made["id"], "--overlap-hours", "1")
    assert rotated.stdout.strip() not in {text, ""}
    assert "stays good until" in rotated.stderr
    shown = operator.json("key", "show", made["id"])
    assert shown["previous"]["hint"] == made["hint"]
    assert shown["hint"] in rotated.stdout
    operator.ok("--yes", "key", "revoke", made["id"], "--previous")
    assert operator.json("key", "show", made["id"])["previous"] is None
    changed = operator.json(
        "key", "change", made["id"], "--from", "anywhere", "--rate", "5", "--name", "store"
    )
    assert (changed["networks"], changed["rate_10s"], changed["name"], changed["modes"]) == (
        [],
        5,
        "store",
        ["sync"],
    )
    operator.ok("--yes", "key", "revoke", made["id"])
    assert operator.run("key", "rotate", made["id"]).exit_code == 5
