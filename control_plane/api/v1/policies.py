"""The review policy of a project."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.etags import required_if_match, with_etag
from control_plane.api.schemas import Input, Output
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission, Role
from control_plane.domain.identity import Project
from control_plane.domain.review_policies import (
    APPROVERS,
    PolicyRule,
    ReviewPolicy,
    Risk,
    RoleNeed,
    ValuesRule,
)

__all__ = ["PolicyIn", "PolicyOut", "to_policy"]

blueprint = make_blueprint("policies")

_Path = Annotated[str, Field(min_length=1, max_length=300)]


class RoleNeedIn(Input):
    """So many approvals must come from people who hold this role."""

    role: Role
    approvals: Annotated[int, Field(ge=1, le=6)] = 1


class RuleIn(Input):
    """What is asked beyond the usual when a change touches a path or carries a risk."""

    paths: list[_Path] = Field(
        default_factory=list, max_length=50, description="`*` stays within a folder, `**` does not."
    )
    risks: list[Risk] = Field(default_factory=list, max_length=20)
    approvals: Annotated[int, Field(ge=0, le=6, description="So many more.")] = 0
    role: Annotated[Role | None, Field(description="One approval of this role.")] = None


class PolicyIn(Input):
    """What a project shall ask before a version may be released; what is left out is as in a new project."""

    approvals: Annotated[int, Field(ge=0, le=6, description="0: everything is marked unreviewed.")]
    approval_days: Annotated[int, Field(ge=1, le=90)] = 7
    roles: list[RoleNeedIn] = Field(default_factory=list, max_length=10)
    rules: list[RuleIn] = Field(default_factory=list, max_length=50)
    values: Annotated[
        ValuesRule, Field(description="`approved`: other values than the approver saw need a new approval.")
    ] = ValuesRule.FREE
    approvers: list[Role] = Field(
        default_factory=lambda: list(APPROVERS),
        min_length=1,
        max_length=10,
        description="Whose approvals count.",
    )


class RoleNeedOut(Output):
    """So many approvals of one role."""

    role: str
    approvals: int


class RuleOut(Output):
    """What is asked beyond the usual."""

    paths: list[str]
    risks: list[str]
    approvals: int
    role: str | None


class PolicyOut(Output):
    """What a project asks before a version may be released."""

    approvals: int
    approval_days: int
    roles: list[RoleNeedOut]
    rules: list[RuleOut]
    values: str
    approvers: list[str]


def to_policy(given: PolicyIn) -> ReviewPolicy:
    """Return the policy that was described. Raises Invalid for what contradicts itself."""
    return ReviewPolicy(
        approvals=given.approvals,
        approval_days=given.approval_days,
        roles=tuple(RoleNeed(one.role, one.approvals) for one in given.roles),
        rules=tuple(
            PolicyRule(tuple(one.paths), tuple(one.risks), one.approvals, one.role) for one in given.rules
        ),
        values=given.values,
        approvers=tuple(given.approvers),
    )


@blueprint.get("/projects/<project>/policy")
@requires(Permission.PROJECT_READ, Place.PROJECT)
@blueprint.output(PolicyOut)
def get_policy(project: str) -> Response:
    """Show what a project asks before a release; its ETag is what a change must name."""
    return _shown(services().projects.get(current_actor(), project))


@blueprint.put("/projects/<project>/policy")
@requires(Permission.PROJECT_MANAGE, Place.PROJECT)
@blueprint.input(PolicyIn)
@blueprint.output(PolicyOut)
def set_policy(project: str, json_data: PolicyIn) -> Response:
    """Replace what a project asks before a release; needs If-Match. Open reviews keep what was stricter."""
    if_match = required_if_match()
    policy = to_policy(json_data)
    return _shown(services().projects.set_policy(current_actor(), project, policy, if_match=if_match))


def _shown(project: Project) -> Response:
    body: dict[str, Any] = PolicyOut.model_validate(project.policy).model_dump(mode="json")
    return with_etag(jsonify(body), project.etag)
