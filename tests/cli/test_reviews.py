"""Reviews on the command line: every verb, by whom it is used, and takedowns."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from control_plane.domain.access import Role
from control_plane.domain.identity import ReviewPolicy
from control_plane.domain.review_policies import ValuesRule
from control_plane.domain.values import ValueKey, ValueKind
from tests.support.api_fixtures import ApiPeople
from tests.support.builders import World
from tests.support.live_api import CommandLine, LiveApi


@dataclass(frozen=True)
class Lines:
    """One command line for each person, and what is behind them."""

    world: World
    people: ApiPeople
    author: CommandLine
    reviewer: CommandLine
    operator: CommandLine

    def submitted(self, *options: str, **declared: Any) -> Any:
        """Return a version's review, as its author submitted it."""
        self.world.frozen(self.people.author, **declared)
        return self.author.json("submit", "orders", *options)


@pytest.fixture
def lines(live: LiveApi, people: ApiPeople, tmp_path: Path) -> Lines:
    return Lines(
        live.api.world,
        people,
        author=live.as_(people.author, tmp_path / "a"),
        reviewer=live.as_(people.reviewer, tmp_path / "r"),
        operator=live.as_(people.operator, tmp_path / "o"),
    )


def test_what_waits_is_found(lines: Lines) -> None:
    review = lines.submitted("--note", "Please.")
    assert (review["state"], review["note"], review["kind"]) == ("submitted", "Please.", "publish")
    known = [review["id"]]
    assert review["id"] in lines.reviewer.ok("review", "inbox")
    assert "None." in lines.author.run("review", "inbox").stderr
    assert [one["id"] for one in lines.author.json("review", "inbox", "--mine", "submitted")] == known
    assert [one["id"] for one in lines.reviewer.json("review", "list", "--function", "orders")] == known
    lines.reviewer.ok("review", "reject", review["id"], "--reason", "No.")
    assert lines.reviewer.json("review", "list") == []
    assert [one["state"] for one in lines.reviewer.json("review", "list", "--all")] == ["rejected"]
    assert [one["id"] for one in lines.reviewer.json("review", "inbox", "--mine", "decided")] == known


def test_what_is_to_be_decided_is_shown(lines: Lines) -> None:
    review = lines.submitted(secrets=["PIN"])
    shown = lines.reviewer.ok("review", "show", review["id"])
    assert review["digest"] in shown
    assert "+x = 1" in shown
    assert "+x = 1" in lines.reviewer.ok("review", "diff", review["id"])
    assert lines.reviewer.json("review", "diff", review["id"])["files"]
    evidence = lines.reviewer.json("review", "evidence", review["id"])
    assert [one["risk"] for one in evidence["risks"]] == ["new_secret"]
    assert "new_secret" in lines.reviewer.ok("review", "evidence", review["id"])


def test_a_review_goes_back_is_answered_and_approved(lines: Lines) -> None:
    review = lines.submitted()["id"]
    where = ("--path", "function.py", "--line", "1", "--side", "after")
    remark = lines.reviewer.json("review", "comment", review, "Why 1?", *where)["comments"][0]
    assert (remark["path"], remark["line"], remark["side"]) == ("function.py", 1, "after")
    returned = lines.reviewer.json("review", "request-changes", review, "--reason", "Explain.")
    assert (returned["state"], returned["reason"]) == ("changes_requested", "Explain.")
    assert lines.reviewer.run("--yes", "review", "approve", review).exit_code == 5
    answered = lines.author.json("review", "comment", review, "It is the first.", "--thread", remark["id"])
    assert answered["comments"][1]["thread"] == remark["id"]
    assert "settled" in lines.author.ok("review", "resolve", review, remark["id"])
    assert "settled" not in lines.reviewer.ok("review", "resolve", review, remark["id"], "--reopen")
    again = lines.author.json("review", "resubmit", review, "--note", "Explained.")
    assert (again["state"], again["note"]) == ("submitted", "Explained.")
    assert lines.author.run("--yes", "review", "approve", review).exit_code == 3, "four eyes"
    assert lines.reviewer.json("--yes", "review", "approve", review)["state"] == "approved"
    assert lines.people.reviewer.email in lines.reviewer.ok("review", "show", review)


def test_a_remark_behind_the_end_of_a_file_is_refused(lines: Lines) -> None:
    review = lines.submitted()["id"]
    refused = lines.reviewer.run("review", "comment", review, "?", "--path", "function.py", "--line", "9")
    assert refused.exit_code != 0
    assert "The file has 1 lines" in refused.stderr


def test_only_the_submitter_takes_a_request_back(lines: Lines) -> None:
    review = lines.submitted()["id"]
    assert lines.reviewer.run("review", "withdraw", review).exit_code == 3
    assert lines.author.json("review", "withdraw", review)["state"] == "withdrawn"
    assert lines.author.run("review", "withdraw", review).exit_code == 5


def test_an_approval_names_the_values_that_were_shown(lines: Lines) -> None:
    world, people = lines.world, lines.people
    world.projects.set_policy(people.owner, "main", ReviewPolicy(values=ValuesRule.APPROVED), if_match="p1")
    key = ValueKey(ValueKind.SETTING, "API_URL")
    world.settings.put(people.operator, "main", key, "one")
    review = lines.submitted(settings=["API_URL"])
    seen = lines.reviewer.json("review", "show", review["id"])
    world.settings.put(people.operator, "main", key, "two", if_match="v1")
    approve = ("review", "approve", review["id"], "--digest", seen["digest"])
    assert lines.reviewer.run(*approve).exit_code == 5, "no values are named"
    stale = lines.reviewer.run(*approve, "--values", seen["values"])
    assert (stale.exit_code, "not those that you saw" in stale.stderr) == (5, True)
    now = lines.reviewer.json("review", "show", review["id"])["values"]
    assert lines.reviewer.json(*approve, "--values", now)["state"] == "approved"


def test_a_takedown_is_at_once_for_who_may_and_undone_by_a_review_alone(lines: Lines) -> None:
    version = lines.world.frozen(lines.people.author)
    lines.world.approved(lines.people.author, lines.people.reviewer, version)
    lines.world.released(lines.people.operator, version)
    down = ("function", "takedown", "orders", "--reason", "It leaks.")
    assert lines.author.run("--yes", *down).exit_code == 3
    assert lines.operator.run(*down).exit_code == 2, "it asks, and nobody answers"
    assert lines.operator.run("--yes", *down, "--version", "7").exit_code == 4
    assert lines.operator.json("--yes", *down)["versions"] == [version.id]
    lines.world.settle()
    assert lines.world.gateway.states[-1].routes == ()
    assert lines.author.json("version", "get", "orders", "1")["state"] == "taken_down"
    assert lines.operator.run("release", "apply", "orders").exit_code == 5
    back = lines.author.json("submit", "orders", "--kind", "reinstate", "--note", "Mended.")
    lines.reviewer.ok("--yes", "review", "approve", back["id"])
    assert lines.author.json("version", "get", "orders", "1")["state"] == "frozen"
    assert lines.operator.json("release", "apply", "orders", "--no-wait")["state"] == "pending"


def test_a_takedown_can_be_asked_for(lines: Lines) -> None:
    version = lines.world.frozen(lines.people.author)
    lines.world.approved(lines.people.author, lines.people.reviewer, version)
    lines.world.released(lines.people.operator, version)
    assert lines.author.run("submit", "orders", "--kind", "takedown").exit_code == 1, "it needs a reason"
    asked = lines.author.json("submit", "orders", "--kind", "takedown", "--note", "It leaks.")
    assert lines.reviewer.json("--yes", "review", "approve", asked["id"])["state"] == "published"
    assert lines.operator.json("release", "status", "orders")["state"] == "superseded"


def test_columns_say_what_nobody_reviewed(lines: Lines) -> None:
    world, people = lines.world, lines.people
    world.projects.set_policy(people.owner, "main", ReviewPolicy(approvals=0), if_match="p1")
    world.released(people.operator, world.frozen(people.author))
    for listing in (("function", "list"), ("version", "list", "orders"), ("release", "list", "orders")):
        head, row = lines.author.ok(*listing).splitlines()
        at = head.index("UNREVIEWED")
        assert row[at:].startswith("yes"), listing
    planned = lines.author.run("release", "plan", "orders")
    assert "unreviewed" in planned.stdout + planned.stderr


def test_a_policy_goes_out_and_comes_back(lines: Lines, live: LiveApi, tmp_path: Path) -> None:
    owner = live.as_(lines.people.owner, tmp_path / "w")
    policy = tmp_path / "policy.json"
    wanted = owner.json("project", "policy", "get", "main")
    wanted |= {"approvals": 2, "rules": [{"risks": ["new_secret"], "approvals": 1}]}
    policy.write_text(json.dumps(wanted))
    assert lines.author.run("project", "policy", "set", "main", str(policy)).exit_code == 3
    set_ = owner.json("project", "policy", "set", "main", str(policy))
    assert (set_["approvals"], set_["rules"][0]["risks"]) == (2, ["new_secret"])
    review = lines.submitted(secrets=["PIN"])
    assert review["required"] == 3
    second = lines.world.member(lines.people.owner, "rolf", Role.REVIEWER)
    assert lines.reviewer.json("--yes", "review", "approve", review["id"])["state"] == "in_review"
    third = live.as_(second, tmp_path / "s")
    assert third.json("--yes", "review", "approve", review["id"])["state"] == "in_review"
    assert owner.json("--yes", "review", "approve", review["id"])["state"] == "approved"
