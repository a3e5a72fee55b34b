"""Review policies: what a project asks before a release, and what that comes to for one change.

Only rules live here: nothing knows of reviews, versions or the database.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from control_plane.domain.access import Binding, Permission, Role, Scope, decide
from control_plane.errors import Invalid

__all__ = [
    "APPROVERS",
    "Needs",
    "PolicyRule",
    "ReviewPolicy",
    "Risk",
    "RoleNeed",
    "ValuesRule",
    "glob_matches",
    "needs_of",
    "roles_held",
    "satisfied",
    "stricter",
]

# Whose approvals count unless the policy says otherwise.
APPROVERS: Final = (Role.OWNER, Role.ADMIN, Role.REVIEWER)
# They may stand in for every role that a policy names.
_STAND_INS: Final = frozenset({Role.OWNER, Role.ADMIN})
_MOST: Final = 6


class Risk(StrEnum):
    """What makes a change more than another; a rule may ask more for it."""

    NEW_EGRESS = "new_egress"
    NEW_SECRET = "new_secret"  # noqa: S105
    NEW_SETTING = "new_setting"
    LIMITS_UP = "limits_up"
    DEPENDENCY_ADDED = "dependency_added"
    DEPENDENCY_CHANGED = "dependency_changed"
    HANDLER_CHANGED = "handler_changed"
    RUNTIME_CHANGED = "runtime_changed"
    CONTRACT_CHANGED = "contract_changed"
    # Callable without a key, with authentication of its own, or as a page without a sandbox.
    EXPOSURE_UP = "exposure_up"


class ValuesRule(StrEnum):
    """Whether an approval covers the values of settings and secrets too."""

    # Whoever may release decides over values.
    FREE = "free"
    # A release with other values than the approver saw needs a new approval.
    APPROVED = "approved"


@dataclass(frozen=True, slots=True)
class RoleNeed:
    """So many approvals must come from people who hold this role."""

    role: Role
    approvals: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.approvals <= _MOST:
            raise Invalid(f"A role gives 1 to {_MOST} approvals.", field="roles")


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """What is asked beyond the usual when a change touches a path or carries a risk."""

    # `*` stays within a folder, `**` does not.
    paths: tuple[str, ...] = ()
    risks: tuple[Risk, ...] = ()
    # So many more approvals.
    approvals: int = 0
    # One approval of this role.
    role: Role | None = None

    def __post_init__(self) -> None:
        if not self.paths and not self.risks:
            raise Invalid("A rule names paths or risks.", field="rules", hint='Use paths ["**"] for all.')
        if not 0 <= self.approvals <= _MOST or (self.approvals == 0 and self.role is None):
            raise Invalid(f"A rule asks for 1 to {_MOST} more approvals, or for a role.", field="rules")
        if len(self.paths) > 50 or any(not 1 <= len(path) <= 300 for path in self.paths):
            raise Invalid("A rule has at most 50 paths of 1-300 characters.", field="rules")

    def applies(self, paths: Iterable[str], risks: Collection[Risk]) -> bool:
        """Say whether a change that touches these paths and carries these risks falls under it."""
        if any(risk in risks for risk in self.risks):
            return True
        return any(glob_matches(pattern, path) for path in paths for pattern in self.paths)


@dataclass(frozen=True, slots=True)
class ReviewPolicy:
    """What a project asks before a version may be released."""

    # 0 is for personal projects: their functions are marked unreviewed everywhere.
    approvals: int = 1
    # An approval counts this long until it is used.
    approval_days: int = 7
    roles: tuple[RoleNeed, ...] = ()
    rules: tuple[PolicyRule, ...] = ()
    values: ValuesRule = ValuesRule.FREE
    # Whose approvals count; the roles that are asked for by name always do.
    approvers: tuple[Role, ...] = APPROVERS

    def __post_init__(self) -> None:
        if not 0 <= self.approvals <= _MOST:
            raise Invalid(f"A review policy asks for 0 to {_MOST} approvals.", field="approvals")
        if not 1 <= self.approval_days <= 90:
            raise Invalid("Approvals count for 1 to 90 days.", field="approval_days")
        if len(self.rules) > 50:
            raise Invalid("A review policy has at most 50 rules.", field="rules")
        if len({need.role for need in self.roles}) != len(self.roles):
            raise Invalid("A role stands in the policy twice.", field="roles")
        if not self.approvers or len(set(self.approvers)) != len(self.approvers):
            raise Invalid("A review policy names different roles that approve.", field="approvers")
        named = {*self.approvers, *(need.role for need in self.roles)}
        named |= {rule.role for rule in self.rules if rule.role is not None}
        for role in sorted(named):
            if not decide([Binding(role, Scope())], Permission.REVIEW_DECIDE, Scope()):
                raise Invalid(f"The role {role} cannot decide reviews.", field="approvers")
        if self.approvals == 0 and (self.roles or self.rules):
            raise Invalid(
                "A project that asks for no approval has neither roles nor rules.",
                field="approvals",
                hint="Ask for 1 approval, or leave roles and rules out.",
            )


@dataclass(frozen=True, slots=True)
class Needs:
    """What a policy comes to for one change."""

    approvals: int
    # role -> approvals of it
    roles: Mapping[Role, int]
    # Whose approvals count towards the number.
    approvers: frozenset[Role]
    approval_days: int
    # Approvals must have seen the values that are released.
    values: bool

    def counts(self, held: Collection[Role]) -> bool:
        """Say whether an approval of somebody with these roles counts."""
        return any(role in self.approvers or role in self.roles for role in held) or (
            bool(self.roles) and bool(_STAND_INS & set(held))
        )


def needs_of(policy: ReviewPolicy, paths: Collection[str], risks: Collection[Risk]) -> Needs:
    """Return what the policy asks for a change. Of the rules that apply the largest number counts."""
    applying = [rule for rule in policy.rules if rule.applies(paths, risks)]
    roles = {need.role: need.approvals for need in policy.roles}
    for rule in applying:
        if rule.role is not None:
            roles.setdefault(rule.role, 1)
    more = max((rule.approvals for rule in applying), default=0)
    return Needs(
        # A review is decided by somebody, even where a release needs none.
        approvals=max(1, policy.approvals + more, sum(roles.values())),
        roles=roles,
        approvers=frozenset(policy.approvers),
        approval_days=policy.approval_days,
        values=policy.values is ValuesRule.APPROVED,
    )


def stricter(one: Needs, other: Needs) -> Needs:
    """Return what fulfils both: nothing that either asks for is left out."""
    roles = {
        role: max(one.roles.get(role, 0), other.roles.get(role, 0))
        for role in sorted({*one.roles, *other.roles})
    }
    return Needs(
        approvals=max(one.approvals, other.approvals, sum(roles.values())),
        roles=roles,
        approvers=one.approvers & other.approvers,
        approval_days=min(one.approval_days, other.approval_days),
        values=one.values or other.values,
    )


def satisfied(needs: Needs, approvers: Sequence[Collection[Role]]) -> bool:
    """Say whether these approvers, each given as the roles they hold, are enough.

    One approval fills one role at most, so one person with every role is still one.
    """
    counting = [frozenset(held) for held in approvers if needs.counts(held)]
    if len(counting) < needs.approvals:
        return False
    places = [role for role, count in needs.roles.items() for _ in range(count)]
    filled: dict[int, int] = {}

    def seat(place: int, tried: set[int]) -> bool:
        """Find an approver for the place, moving others who could sit elsewhere."""
        for person, held in enumerate(counting):
            if person in tried or not (places[place] in held or held & _STAND_INS):
                continue
            tried.add(person)
            if person not in filled or seat(filled[person], tried):
                filled[person] = place
                return True
        return False

    return all(seat(place, set()) for place in range(len(places)))


def roles_held(bindings: Iterable[Binding], scope: Scope) -> frozenset[Role]:
    """Return the roles that somebody holds at a place."""
    return frozenset(binding.role for binding in bindings if binding.scope.covers(scope))


def glob_matches(pattern: str, path: str) -> bool:
    """Say whether a path fits: `*` and `?` within a folder, `**` across folders.

    Every place of the pattern is followed at once, so no pattern takes long.
    """
    signs = _signs(pattern)
    places = _skipping(signs, {0})
    # Within the folders of a `**/`, which end at a slash only.
    folders: set[int] = set()
    for character in path:
        reached = {place + 1 for place in folders if character == "/"}
        for place in places - {len(signs)}:
            sign = signs[place]
            if sign == "**" or (sign == "*" and character != "/"):
                reached.add(place)
            elif sign == character or (sign == "?" and character != "/"):
                reached.add(place + 1)
            elif sign == "**/":
                folders.add(place)
                if character == "/":
                    reached.add(place + 1)
        places = _skipping(signs, reached)
    return len(signs) in places


@lru_cache(maxsize=512)
def _signs(pattern: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\*\*/|\*\*|.", pattern, re.DOTALL))


def _skipping(signs: Sequence[str], places: set[int]) -> set[int]:
    """Add the places that are reached without a character: stars match nothing too."""
    reached = set(places)
    for place in sorted(places):
        following = place
        while following < len(signs) and signs[following] in {"*", "**", "**/"}:
            following += 1
            reached.add(following)
    return reached
