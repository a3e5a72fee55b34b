"""What a policy comes to: rules by path and risk, roles filled by different people, and globs."""

from __future__ import annotations

import re
import time
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.access import Role
from control_plane.domain.desired import Limits
from control_plane.domain.evidence import Facts, components_of, estimate_cost, risks_of
from control_plane.domain.functions import Declaration
from control_plane.domain.review_policies import (
    Needs,
    PolicyRule,
    ReviewPolicy,
    Risk,
    RoleNeed,
    ValuesRule,
    glob_matches,
    needs_of,
    satisfied,
    stricter,
)

deciders = st.sampled_from([Role.OWNER, Role.ADMIN, Role.REVIEWER, Role.OPERATOR])
rules = st.builds(
    PolicyRule,
    paths=st.sampled_from([("**",), ("a/*",), ("*.py",)]),
    risks=st.lists(st.sampled_from(Risk), max_size=2).map(tuple),
    approvals=st.integers(1, 3),
    role=st.none() | deciders,
)
policies = st.builds(
    ReviewPolicy,
    approvals=st.integers(1, 3),
    approval_days=st.integers(1, 30),
    roles=st.lists(deciders, max_size=3, unique=True).map(lambda all_: tuple(map(RoleNeed, all_))),
    rules=st.lists(rules, max_size=3).map(tuple),
    values=st.sampled_from(ValuesRule),
    approvers=st.lists(deciders, min_size=1, max_size=4, unique=True).map(tuple),
)
people = st.lists(st.frozensets(deciders, max_size=3), max_size=6)


def by_trying(needs: Needs, held: list[frozenset[Role]]) -> bool:
    """Try every order of people for the places that roles must fill."""
    counting = [roles for roles in held if needs.counts(roles)]
    places = [role for role, count in needs.roles.items() for _ in range(count)]
    if len(counting) < max(needs.approvals, len(places)):
        return False
    stand_ins = {Role.OWNER, Role.ADMIN}
    return any(
        all(place in roles or roles & stand_ins for place, roles in zip(places, order, strict=True))
        for order in permutations(counting, len(places))
    )


@given(policies, people)
def test_roles_are_filled_by_different_people(policy: ReviewPolicy, held: list[frozenset[Role]]) -> None:
    needs = needs_of(policy, ("a/b.py",), (Risk.NEW_SECRET,))
    assert satisfied(needs, held) == by_trying(needs, held)


@given(policies, policies, people)
def test_what_satisfies_the_stricter_satisfies_both_numbers(
    one: ReviewPolicy, other: ReviewPolicy, held: list[frozenset[Role]]
) -> None:
    first, second = (needs_of(policy, ("x.py",), ()) for policy in (one, other))
    both = stricter(first, second)
    if satisfied(both, held):
        assert len(held) >= max(first.approvals, second.approvals)
        assert all(
            both.roles[role] >= count for needs in (first, second) for role, count in needs.roles.items()
        )
    assert both.approval_days == min(first.approval_days, second.approval_days)
    assert both.values == (first.values or second.values)


def test_of_the_rules_that_apply_the_largest_number_counts() -> None:
    policy = ReviewPolicy(
        approvals=1,
        rules=(
            PolicyRule(paths=("deploy/**",), approvals=2),
            PolicyRule(risks=(Risk.NEW_SECRET,), approvals=1, role=Role.OPERATOR),
        ),
    )
    assert needs_of(policy, ("a.py",), ()).approvals == 1
    assert needs_of(policy, ("deploy/x/y.yml",), ()).approvals == 3
    both = needs_of(policy, ("deploy/x",), (Risk.NEW_SECRET,))
    assert (both.approvals, both.roles) == (3, {Role.OPERATOR: 1})


def test_one_person_with_every_role_is_one_person() -> None:
    needs = needs_of(ReviewPolicy(roles=(RoleNeed(Role.REVIEWER), RoleNeed(Role.OPERATOR))), (), ())
    everything = frozenset({Role.OWNER, Role.REVIEWER, Role.OPERATOR})
    assert not satisfied(needs, [everything])
    assert satisfied(needs, [everything, frozenset({Role.OPERATOR})])


_SIGNS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@given(
    st.lists(st.sampled_from(["a", "b", "/", "*", "**", "**/", "?"]), max_size=6), st.text("ab/", max_size=7)
)
def test_globs_agree_with_a_regular_expression(parts: list[str], path: str) -> None:
    pattern = "".join(parts)
    split = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    expression = "".join(_SIGNS.get(part, re.escape(part)) for part in split)
    assert glob_matches(pattern, path) == (re.fullmatch(expression, path) is not None)


def test_no_glob_takes_long() -> None:
    begun = time.process_time()
    assert not glob_matches("*a" * 149 + "b", "a" * 300)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("after", "risk"),
    [
        (Facts(Declaration(secrets=("PIN",)), (), {}), Risk.NEW_SECRET),
        (Facts(Declaration(settings=("URL",)), (), {}), Risk.NEW_SETTING),
        (Facts(Declaration(), ("api.example:443",), {}), Risk.NEW_EGRESS),
        (Facts(Declaration(), (), {"numpy": "2"}), Risk.DEPENDENCY_ADDED),
        (Facts(Declaration(limits=Limits(timeout_ms=60_000)), (), {}), Risk.LIMITS_UP),
        (Facts(Declaration(body_limit=7_000_000), (), {}), Risk.LIMITS_UP),
        (Facts(Declaration(handler="other:run"), (), {}), Risk.HANDLER_CHANGED),
        (Facts(Declaration(kind="asgi"), (), {}), Risk.HANDLER_CHANGED),
        (Facts(Declaration(runtime="python3.12"), (), {}), Risk.RUNTIME_CHANGED),
        (Facts(Declaration(input_schema={}), (), {}), Risk.CONTRACT_CHANGED),
        (Facts(Declaration(public=True), (), {}), Risk.EXPOSURE_UP),
        (Facts(Declaration(cors_origins=("https://a",)), (), {}), Risk.EXPOSURE_UP),
    ],
)
def test_each_risk_is_found_and_its_opposite_is_none(after: Facts, risk: Risk) -> None:
    before = Facts(Declaration(), (), {})
    assert [one.risk for one in risks_of(before, after)] == [risk]
    mirrored = {Risk.HANDLER_CHANGED, Risk.RUNTIME_CHANGED, Risk.CONTRACT_CHANGED}
    assert [one.risk for one in risks_of(after, before)] == ([risk] if risk in mirrored else [])


def test_another_version_of_a_package_is_a_change() -> None:
    before, after = (Facts(Declaration(), (), {"numpy": version}) for version in ("1", "2"))
    assert [one.risk for one in risks_of(before, after)] == [Risk.DEPENDENCY_CHANGED]


def test_what_was_never_reviewed_is_new_in_everything() -> None:
    risks = {one.risk for one in risks_of(None, Facts(Declaration(secrets=("PIN",)), ("x:1",), {"a": "1"}))}
    assert risks == {Risk.NEW_SECRET, Risk.NEW_EGRESS, Risk.DEPENDENCY_ADDED}


def test_costs_are_estimated_from_runs_or_from_the_time_out() -> None:
    limits = Limits(memory_mb=512, timeout_ms=1_000)
    assert (estimate_cost(limits, ()).basis, estimate_cost(limits, ()).gb_seconds) == ("timeout", 500.0)
    measured = estimate_cost(limits, (90_000_000, 4_100, 3_000))
    assert (measured.basis, measured.duration_ms, measured.gb_seconds) == ("test_runs", 5, 2.5)


def test_licences_are_read_as_they_are_written() -> None:
    bill = {
        "components": [
            {"name": "a", "version": "1", "licenses": [{"expression": "MIT"}]},
            {"name": "b", "version": "2", "licenses": [{"license": {"id": "Apache-2.0"}}]},
            {"name": "c", "version": "3", "licenses": [{"license": {"name": "BSD"}}]},
            {"name": "d", "version": "4"},
        ]
    }
    assert [one.licences for one in components_of(bill).values()] == [("MIT",), ("Apache-2.0",), ("BSD",), ()]
