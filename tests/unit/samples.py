"""Domain objects with all their fields, for tests that care about one or two of them."""

from __future__ import annotations

import hashlib

from control_plane.domain.functions import Declaration
from control_plane.domain.releases import Release, ReleasePart, Throttle, release_digest
from control_plane.domain.review_policies import ReviewPolicy
from control_plane.domain.reviews import Review, ReviewState
from control_plane.domain.values import Bound, Stage, Value, ValueKind
from control_plane.domain.versions import Version

__all__ = ["a_part", "a_release", "a_review", "a_value", "a_version"]


def a_version(number: int = 1) -> Version:
    manifest = f'{{"n":{number}}}'
    return Version(
        id=f"ver_{number}",
        organization="org_1",
        project="prj_1",
        function="fn_1",
        number=number,
        digest="sha256:" + hashlib.sha256(manifest.encode()).hexdigest(),
        manifest_text=manifest,
        declaration=Declaration(runtime="python3.11"),
        files=(),
        lock="",
        layers={"function": "sha256:" + "f" * 64},
        image="",
        sbom="",
        revision=2,
        authors=(("usr_author", "author@acme.example"),),
        created_by="usr_author",
        created_ms=0,
    )


def a_review(required: int = 1, digest: str = "sha256:seen") -> Review:
    return Review(
        id="rev_1",
        organization="org_1",
        project="prj_1",
        function="fn_1",
        version="ver_1",
        number=1,
        digest=digest,
        state=ReviewState.SUBMITTED,
        submitter="usr_submitter",
        submitter_email="submitter@acme.example",
        authors=(("usr_author", "author@acme.example"),),
        required=required,
        note="",
        created_ms=0,
        policy=ReviewPolicy(approvals=required),
    )


def a_part(number: int = 1, percent: int = 100, tag: str = "", base: str = "cpython-3.11.2") -> ReleasePart:
    version = a_version(number)
    return ReleasePart(version.id, number, version.digest, percent, Bound({}, {}, "sha256:none"), base, tag)


def a_release(*parts: ReleasePart, number: int = 1) -> Release:
    chosen = parts or (a_part(),)
    return Release(
        id=f"rel_{number}",
        organization="org_1",
        project="prj_1",
        function="fn_1",
        number=number,
        digest=release_digest(chosen, Throttle()),
        parts=chosen,
        throttle=Throttle(),
        created_by="usr_operator",
        created_ms=0,
    )


def a_value(name: str = "API_URL", content: str = "x", number: int = 1, *, secret: bool = False) -> Value:
    return Value(
        id=f"set_{name}_{number}",
        organization="org_1",
        project="prj_1",
        kind=ValueKind.SECRET if secret else ValueKind.SETTING,
        stage=Stage.LIVE,
        name=name,
        number=number,
        content=content,
        created_by="usr_1",
        created_ms=0,
    )
