"""The permission decision against a naive oracle that was written apart from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.access import (
    ROLES,
    SYSTEM,
    Binding,
    Permission,
    Restriction,
    Role,
    Scope,
    decide,
    roles_within,
)
from control_plane.domain.explanation import explain
from control_plane.domain.identity import Actor, Method
from control_plane.errors import Invalid

_segments = st.sampled_from(["a", "b", "ab", "c"])
scopes = st.lists(_segments, max_size=3).map(lambda path: Scope(tuple(path)))
bindings = st.lists(st.builds(Binding, st.sampled_from(Role), scopes), max_size=5)
permissions = st.sampled_from(Permission)


def oracle(held: list[Binding], permission: Permission, scope: Scope) -> bool:
    """Walk up from the place, one step at a time, and look for a role that has the right."""
    path = list(scope.path)
    while True:
        for binding in held:
            if list(binding.scope.path) == path and permission in set(ROLES[binding.role]):
                return True
        if not path:
            return False
        path.pop()


@given(bindings, permissions, scopes)
def test_decide_agrees_with_the_oracle(held: list[Binding], permission: Permission, scope: Scope) -> None:
    assert decide(held, permission, scope) == oracle(held, permission, scope)


@given(bindings, st.builds(Binding, st.sampled_from(Role), scopes), permissions, scopes)
def test_another_binding_never_takes_a_right_away(
    held: list[Binding], more: Binding, permission: Permission, scope: Scope
) -> None:
    if decide(held, permission, scope):
        assert decide([*held, more], permission, scope)
        assert decide([more, *reversed(held)], permission, scope)


@given(bindings, permissions, scopes)
def test_bindings_of_one_organization_decide_nothing_in_another(
    held: list[Binding], permission: Permission, scope: Scope
) -> None:
    inside = [Binding(one.role, Scope(("acme", *one.scope.path))) for one in held]
    assert not decide(inside, permission, Scope(("other", *scope.path)))


@given(bindings, st.sampled_from(Role), scopes)
def test_only_what_is_held_can_be_given_away(held: list[Binding], role: Role, scope: Scope) -> None:
    if roles_within(held, role, scope):
        given_away = [*held, Binding(role, scope)]
        assert all(
            decide(held, permission, scope)
            for permission in Permission
            if decide(given_away, permission, scope)
        )


def everything_below(held: list[Binding], places: list[Scope]) -> set[tuple[Permission, str]]:
    """Write down each right at each place, by going through the bindings one by one.

    Places are compared as texts here, and not as tuples as the decision does.
    """
    rights = set()
    for binding in held:
        above = str(binding.scope).rstrip("/") + "/"
        for place in places:
            if (str(place).rstrip("/") + "/").startswith(above):
                rights |= {(permission, str(place)) for permission in ROLES[binding.role]}
    return rights


PLACES = [Scope(path) for path in ((), ("a",), ("a", "b"), ("a", "ab"), ("a", "b", "c"), ("ab",), ("b", "a"))]


@given(bindings)
def test_decide_agrees_with_all_rights_written_down(held: list[Binding]) -> None:
    rights = everything_below(held, PLACES)
    for place in PLACES:
        for permission in Permission:
            assert decide(held, permission, place) == ((permission, str(place)) in rights)


@given(bindings, st.sampled_from(Role), st.sampled_from(PLACES))
def test_a_role_lies_within_exactly_when_none_of_its_rights_is_missing(
    held: list[Binding], role: Role, place: Scope
) -> None:
    rights = everything_below(held, [place])
    wanted = everything_below([Binding(role, place)], [place])
    assert roles_within(held, role, place) == (wanted <= rights)


@given(bindings, st.lists(st.tuples(st.sampled_from(Role), st.sampled_from(PLACES)), max_size=6))
def test_nobody_climbs_by_any_chain_of_grants(held: list[Binding], wishes: list[tuple[Role, Scope]]) -> None:
    """Whatever somebody grants themselves, step by step, they hold in the end what they held before."""
    before = everything_below(held, PLACES)
    now = list(held)
    for role, place in wishes:
        if roles_within(now, role, place):
            now.append(Binding(role, place))
    assert everything_below(now, PLACES) == before


@given(bindings, st.lists(permissions, max_size=4), st.sampled_from(PLACES))
def test_a_restricted_token_carries_what_is_held_and_named(
    held: list[Binding], named: list[Permission], place: Scope
) -> None:
    actor = actor_with(held, Restriction(tuple(named), place))
    mine = everything_below(held, PLACES)
    allowed = everything_below([Binding(Role.OWNER, place)], PLACES)
    for where in PLACES:
        for permission in Permission:
            cell = (permission, str(where))
            wanted = cell in mine and cell in allowed and permission in named
            assert actor.allows(permission, where) == wanted
            assert not wanted or actor.holds_somewhere(permission)
    for role in Role:
        if actor.may_grant(role, place):
            assert ROLES[role] <= set(named)
            assert roles_within(held, role, place)


def actor_with(held: list[Binding], restriction: Restriction | None = None) -> Actor:
    return Actor(
        user="usr_1",
        name="Ada",
        email="ada@acme.example",
        organization="a",
        bindings=tuple(held),
        method=Method.TOKEN,
        restriction=restriction,
    )


@given(bindings, permissions, scopes)
def test_the_explanation_never_disagrees_with_the_decision(
    held: list[Binding], permission: Permission, scope: Scope
) -> None:
    told = explain(held, permission, scope)
    assert told.allowed == decide(held, permission, scope)
    assert [reason.binding for reason in told.reasons] == sorted(held)
    for role in told.lacking:
        assert decide([*held, Binding(role, scope)], permission, scope)
    assert bool(told.lacking) != told.allowed
    for reason in told.reasons:
        assert reason.allows == decide([reason.binding], permission, scope)


def test_no_binding_means_no() -> None:
    assert not any(decide([], permission, SYSTEM) for permission in Permission)


def test_reviewers_cannot_write_and_authors_cannot_decide() -> None:
    assert Permission.FUNCTION_WRITE not in ROLES[Role.REVIEWER]
    assert Permission.REVIEW_DECIDE not in ROLES[Role.AUTHOR]
    assert Permission.RELEASE_WRITE not in ROLES[Role.AUTHOR]


@given(scopes)
def test_a_scope_survives_being_written(scope: Scope) -> None:
    assert Scope.parse(str(scope)) == scope
    assert scope.within("x").path[-1] == "x"


@pytest.mark.parametrize("text", ["", "acme", "/a//b"])
def test_other_texts_are_no_scope(text: str) -> None:
    with pytest.raises(Invalid):
        Scope.parse(text)
