"""Functions leave and arrive on both databases: what is written is what is read."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine

from control_plane.domain.access import Role
from control_plane.domain.moving import ExportState
from control_plane.ports import Built
from control_plane.services.imports import Vouched
from control_plane.services.releases import Wish
from tests.support.builders import World


def test_a_function_goes_from_one_organization_to_another(engine: Engine) -> None:
    world = World(engine)
    build = world.builder.build

    def build_with_sbom(files: Any, lock: str) -> Built:
        return replace(build(files, lock), sbom=world.blobs.put(b'{"bomFormat":"CycloneDX"}'))

    world.builder.build = build_with_sbom  # type: ignore[method-assign]
    owner = world.owner("one")
    author, reviewer = world.member(owner, "ada", Role.AUTHOR), world.member(owner, "rita", Role.REVIEWER)
    version = world.frozen(author)
    world.approved(author, reviewer, version)
    asked = world.exports.function(author, "orders")
    assert asked.state is ExportState.WAITING
    assert world.exporting.sign_due() == 1
    export = world.exports.get(author, "orders", asked.id)
    assert (export.state, export.numbers) == (ExportState.READY, (1,))
    content = b"".join(world.exports.archive(author, "orders", export.id)[1])

    world.organizations.create(owner, name="other")
    other = world.sessions.act_in(owner, "other")
    world.trust = lambda public, project, now: Vouched("one", 1)
    made = world.imports.receive(other, io.BytesIO(content), project="main")
    again = world.imports.receive(other, io.BytesIO(content), project="main")
    assert [one.new for one in (*made.versions, *again.versions)] == [True, False]
    assert again.function.id == made.function.id != version.function
    origin = world.imports.origin(other, "orders", 1)
    assert (origin.digest, origin.source_function) == (version.digest, version.function)
    assert [one.email for one in origin.approvals] == [reviewer.email]
    assert origin.evidence == export.evidence
    plan = world.releases.plan(other, "orders", [Wish(1, 100)])
    assert [one.reason for one in plan.approvals] == ["approved_elsewhere"]
    assert world.audit.verify(other).findings == ()
