"""Each clause of a review policy, through the services: what it asks is asked, and no plan says otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.access import Role
from control_plane.domain.identity import Actor, ReviewPolicy
from control_plane.domain.review_policies import PolicyRule, Risk, RoleNeed, ValuesRule
from control_plane.domain.reviews import Review, ReviewKind, ReviewState
from control_plane.domain.values import Stage, ValueKey, ValueKind
from control_plane.domain.versions import Version
from control_plane.ports import Built, TestCall
from control_plane.services.releases import ReleaseRefused, Wish
from tests.support.builders import World
from tests.unit.conftest import People

URL = ValueKey(ValueKind.SETTING, "API_URL")
SECRET = ValueKey(ValueKind.SECRET, "PIN")


def ask(world: World, people: People, **policy: Any) -> None:
    etag = world.projects.get(people.owner, "main").etag
    world.projects.set_policy(people.owner, "main", ReviewPolicy(**policy), if_match=etag)


def reviewers(world: World, people: People, count: int) -> list[Actor]:
    more = [world.member(people.owner, f"rolf{number}", Role.REVIEWER) for number in range(count - 1)]
    return [people.reviewer, *more]


def approve(world: World, actor: Actor, review: Review) -> Review:
    values = world.reviews.values(actor, review.id)
    return world.reviews.approve(actor, review.id, digest=review.digest, values=values)


def verdict(world: World, people: People, number: int) -> str:
    """Return how a version stands; what applying answers must be what the plan said."""
    wishes = [Wish(number, 100)]
    plan = world.releases.plan(people.operator, "orders", wishes)
    if plan.refusals:
        with pytest.raises(ReleaseRefused) as caught:
            world.releases.apply(people.operator, "orders", wishes)
        assert caught.value.errors == plan.refusals
    else:
        made = world.releases.apply(people.operator, "orders", wishes)
        assert (made.digest, made.unreviewed) == (plan.digest, plan.unreviewed)
    return plan.approvals[0].reason


@pytest.mark.parametrize("approvals", range(7))
def test_as_many_approvals_as_asked_for(world: World, people: People, approvals: int) -> None:
    everybody = reviewers(world, people, approvals)
    ask(world, people, approvals=approvals)
    world.frozen(people.author)
    review = world.reviews.submit(people.author, "orders", 1)
    for one in everybody[:approvals]:
        assert verdict(world, people, 1) == "approval_missing"
        review = approve(world, one, review)
    if approvals == 0:
        # Nobody was asked while approvals were needed, so the open review is in nobody's way.
        assert verdict(world, people, 1) == "no_approval_asked"
    else:
        assert review.state is ReviewState.APPROVED
        assert verdict(world, people, 1) == "approved"


def test_a_role_that_is_asked_for_by_name(world: World, people: People) -> None:
    ask(world, people, roles=(RoleNeed(Role.OPERATOR), RoleNeed(Role.REVIEWER)))
    world.frozen(people.author)
    review = world.reviews.submit(people.author, "orders", 1)
    assert review.required == 2
    second = world.member(people.owner, "rolf", Role.REVIEWER)
    for one in (people.reviewer, second):
        assert approve(world, one, review).state is ReviewState.IN_REVIEW
    assert verdict(world, people, 1) == "approval_missing"
    assert approve(world, people.operator, review).state is ReviewState.APPROVED
    assert verdict(world, people, 1) == "approved"


def published(world: World, people: People, **declared: Any) -> Version:
    """Release a reviewed version to compare with."""
    version = world.frozen(people.author, **declared)
    world.approved(people.author, people.reviewer, version)
    world.released(people.operator, version)
    return version


def test_a_path_asks_for_more(world: World, people: People) -> None:
    published(world, people)
    ask(world, people, rules=(PolicyRule(paths=("deploy/**",), approvals=1),))
    world.frozen(people.author, text="x = 2\n")
    assert world.reviews.submit(people.author, "orders", 2).required == 1
    draft = world.drafts.get(people.author, "orders")
    world.drafts.put_file(people.author, "orders", "deploy/a/b.yml", b"a: 1", if_match=draft.etag)
    version = world.versions.freeze(people.author, "orders")
    review = world.reviews.submit(people.author, "orders", version.number)
    assert (review.required, review.paths) == (2, ("deploy/a/b.yml", "function.py"))
    approve(world, people.reviewer, review)
    assert verdict(world, people, version.number) == "approval_missing"
    approve(world, people.owner, review)
    assert verdict(world, people, version.number) == "approved"


CHANGES: dict[Risk, dict[str, Any]] = {
    Risk.NEW_EGRESS: {"egress": ["api.example:443"]},
    Risk.NEW_SECRET: {"secrets": ["PIN"]},
    Risk.NEW_SETTING: {"settings": ["API_URL"]},
    Risk.LIMITS_UP: {"limits": {"memory_mb": 512}},
    Risk.DEPENDENCY_ADDED: {"requirements": "numpy==2.0"},
}


@pytest.mark.parametrize("risk", CHANGES)
def test_a_risk_asks_for_more(world: World, people: People, risk: Risk) -> None:
    published(world, people)
    ask(world, people, rules=(PolicyRule(risks=(risk,), approvals=1, role=Role.OWNER),))
    declared = dict(CHANGES[risk])
    requirements = declared.pop("requirements", "")
    world.settings.put(people.operator, "main", URL, "one")
    world.settings.put(people.operator, "main", SECRET, "two")
    world.drafted(people.author, **declared)
    if requirements:
        draft = world.drafts.get(people.author, "orders")
        content = requirements.encode()
        world.drafts.put_file(people.author, "orders", "requirements.txt", content, if_match=draft.etag)
    version = world.versions.freeze(people.author, "orders")
    review = world.reviews.submit(people.author, "orders", version.number)
    assert (review.risks, review.required) == ((risk,), 2)
    second = world.member(people.owner, "rolf", Role.REVIEWER)
    for one in (people.reviewer, second):
        assert approve(world, one, review).state is ReviewState.IN_REVIEW, "no owner has seen it"
    assert verdict(world, people, version.number) == "approval_missing"
    approve(world, people.owner, review)
    assert verdict(world, people, version.number) == "approved"


def test_another_egress_is_another_version_that_needs_its_own_approval(world: World, people: People) -> None:
    first = published(world, people, egress=["api.example:443"])
    other = world.frozen(people.author, egress=["evil.example:443"])
    assert other.digest != first.digest
    assert verdict(world, people, other.number) == "approval_missing"
    review = world.reviews.submit(people.author, "orders", other.number)
    evidence = world.evidence.of(people.reviewer, review.id)
    assert [(one.before, one.after) for one in evidence.egress] == [
        (None, "evil.example:443"),
        ("api.example:443", None),
    ]


def test_an_approval_that_was_not_used_expires(world: World, people: People) -> None:
    ask(world, people, approval_days=2)
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    world.clock.advance(days=2)
    again = People(
        *(world.sign_in(one.email) for one in (people.owner, people.author, people.reviewer, people.operator))
    )
    assert verdict(world, again, 1) == "approval_missing"
    review = world.review_lists.list(again.reviewer).items[0]
    approve(world, again.reviewer, review)
    assert verdict(world, again, 1) == "approved"


@pytest.mark.parametrize("key", [URL, SECRET])
def test_other_values_are_approved_anew(world: World, people: People, key: ValueKey) -> None:
    ask(world, people, values=ValuesRule.APPROVED)
    declared: dict[str, Any] = {"settings" if key is URL else "secrets": [key.name]}
    world.settings.put(people.operator, "main", key, "seen")
    version = world.frozen(people.author, **declared)
    approve(world, people.reviewer, world.reviews.submit(people.author, "orders", 1))
    assert verdict(world, people, 1) == "approved"
    world.settle()
    world.settings.put(people.operator, "main", key, "unseen", if_match="v1")
    assert verdict(world, people, 1) == "approval_missing"
    review = world.reviews.submit(people.author, "orders", 1, kind=ReviewKind.MODIFY)
    assert verdict(world, people, 1) == "approval_missing"
    approve(world, people.reviewer, review)
    assert verdict(world, people, 1) == "approved"
    assert version.number == 1


def test_a_plan_of_going_back_judges_the_values_that_come_back(world: World, people: People) -> None:
    ask(world, people, values=ValuesRule.APPROVED)
    world.settings.put(people.operator, "main", URL, "one")
    world.frozen(people.author, settings=["API_URL"])
    approve(world, people.reviewer, world.reviews.submit(people.author, "orders", 1))
    assert verdict(world, people, 1) == "approved"
    world.settle()
    world.frozen(people.author, text="x = 2\n", settings=["API_URL"])
    approve(world, people.reviewer, world.reviews.submit(people.author, "orders", 2))
    assert verdict(world, people, 2) == "approved"
    world.settle()
    # Nobody approved this value; the one that comes back was live.
    world.settings.put(people.operator, "main", URL, "two", if_match="v1")
    plan = world.releases.plan_rollback(people.operator, "orders")
    assert (plan.refusals, plan.approvals[0].reason) == ((), "was_live")
    newest = world.releases.plan_rollback(people.operator, "orders", newest_values=True)
    assert [code for code, _ in newest.refusals] == ["approval_missing"]
    with pytest.raises(ReleaseRefused) as caught:
        world.releases.rollback(people.operator, "orders", newest_values=True)
    assert caught.value.errors == newest.refusals
    assert world.releases.rollback(people.operator, "orders").digest == plan.digest


def test_a_value_of_one_function_is_judged_for_that_function(world: World, people: People) -> None:
    """A plan binds what this function may use: another's own value changes nothing for it."""
    ask(world, people, values=ValuesRule.APPROVED)
    world.settings.put(people.operator, "main", URL, "shared")
    world.frozen(people.author, settings=["API_URL"])
    other = world.frozen(people.author, "other", settings=["API_URL"])
    approve(world, people.reviewer, world.reviews.submit(people.author, "orders", 1))
    own = ValueKey(ValueKind.SETTING, "API_URL", function=other.function)
    world.settings.put(people.operator, "main", own, "its own")
    assert verdict(world, people, 1) == "approved"
    mine = ValueKey(ValueKind.SETTING, "API_URL", function="orders")
    world.settings.put(people.operator, "main", mine, "for orders alone")
    assert verdict(world, people, 1) == "approval_missing"


def test_evidence_holds_every_delta(world: World, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    build, licences = world.builder.build, {"numpy": "BSD-3-Clause", "six": "MIT"}

    def with_bill(files: Mapping[str, bytes], lock: str) -> Built:
        """Build, and write a bill of materials of what is locked."""
        components = [
            {"name": name, "version": version, "licenses": [{"expression": licences[name]}]}
            for name, version in world.builder.packages(lock).items()
        ]
        bill = world.blobs.put(json.dumps({"components": components}).encode())
        return replace(build(files, lock), sbom=bill)

    monkeypatch.setattr(world.builder, "build", with_bill)

    def frozen(pins: str, **declared: Any) -> Version:
        world.drafted(people.author, **declared)
        draft = world.drafts.get(people.author, "orders")
        world.drafts.put_file(people.author, "orders", "requirements.txt", pins.encode(), if_match=draft.etag)
        return world.versions.freeze(people.author, "orders")

    first = frozen("six==1.0", egress=["a:1"])
    world.approved(people.author, people.reviewer, first)
    world.released(people.operator, first)
    second = frozen("numpy==2.0", secrets=["PIN"], limits={"memory_mb": 512}, egress=["b:1"])
    test_value = ValueKey(ValueKind.SECRET, "PIN", Stage.TEST)
    world.settings.put(people.operator, "main", test_value, "1")
    run = world.test_runs.run(people.author, "orders", TestCall("GET", "/", (), b"", 1_000))
    review = world.reviews.submit(people.author, "orders", second.number)
    found = world.evidence.of(people.reviewer, review.id)
    told = {
        name: [(one.name, one.before, one.after) for one in getattr(found, name)]
        for name in ("dependencies", "sbom", "licences", "egress", "secrets", "limits")
    }
    assert told == {
        "dependencies": [("numpy", None, "2.0"), ("six", "1.0", None)],
        "sbom": [("numpy", None, "2.0 (BSD-3-Clause)"), ("six", "1.0 (MIT)", None)],
        "licences": [("BSD-3-Clause", None, "BSD-3-Clause"), ("MIT", "MIT", None)],
        "egress": [("b:1", None, "b:1"), ("a:1", "a:1", None)],
        "secrets": [("PIN", None, "PIN")],
        "limits": [("limits.memory_mb", 256, 512)],
    }
    assert [one.id for one in found.test_runs] == [run.id]
    assert found.cost_before is not None
    assert (found.cost_before.memory_mb, found.cost_before.basis) == (256, "timeout")
    assert (found.cost_after.memory_mb, found.cost_after.basis) == (512, "test_runs")
