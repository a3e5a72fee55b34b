"""The permission decision against a naive oracle that was written apart from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.access import ROLES, SYSTEM, Binding, Permission, Role, Scope, decide, roles_within
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
