"""Running a call's version once more: with a payload that is sent again, as payloads are never stored.

It runs in a one-shot instance of the same sandbox with test values, like a test
run: live values resolve only under a release. Nothing of it is kept but that it was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from control_plane.domain.access import Permission
from control_plane.domain.canonical import digest_of
from control_plane.domain.desired import HostTarget
from control_plane.domain.identity import Actor
from control_plane.errors import Conflict, Invalid
from control_plane.ports import Runtime, TestCall, TestOutcome
from control_plane.services.changes import Changes, View, absent
from control_plane.services.draft_targets import bind_test_values, tried_target
from control_plane.store.invocation_queries import InvocationReader

__all__ = ["Rerun", "Reruns"]

_LONGEST_MS: Final = 120_000


@dataclass(frozen=True, slots=True)
class Rerun:
    """What the version did, and whether that is what the call met."""

    number: int
    digest: str
    outcome: TestOutcome
    same: bool


class Reruns:
    """Use cases about repeating calls."""

    def __init__(self, changes: Changes, reader: InvocationReader, runtime: Runtime) -> None:
        self._changes = changes
        self._reader = reader
        self._runtime = runtime

    def run(self, actor: Actor, usage: str, call: TestCall) -> Rerun:
        """Run one request with the version that the call met; takes as long as the request does.

        Raises Conflict when the call never reached a version.
        """
        if not 1 <= call.timeout_ms <= _LONGEST_MS:
            raise Invalid(f"A rerun's timeout is 1 to {_LONGEST_MS} ms.", field="/timeout_ms")
        row = self._reader.of(actor.organization).one(actor.organization, usage)
        with self._changes.read(actor) as view:
            project = view.unit.identity.project(actor.organization, row.project) if row else None
            if row is None or project is None or not view.allows(Permission.USAGE_READ, project.scope):
                raise absent("invocation", usage)
            view.require(Permission.FUNCTION_WRITE, project.scope)
            if not row.version:
                raise Conflict(
                    "This call was refused before a version was chosen, so there is nothing to run again.",
                    hint="`ingot why` says which rule refused it.",
                )
            target, number = _target(view, row.function, row.version)
        with self._changes.change(actor, "invocation.rerun", f"function/{row.function}") as change:
            change.record(f"function/{row.function}", {"invocation": usage, "digest": target.digest})
        outcome = self._runtime.test(target, call)
        same = not outcome.code and not row.refusal and outcome.status == row.status
        return Rerun(number, target.digest, outcome, same)


def _target(view: View, function: str, version: str) -> tuple[HostTarget, int]:
    known, _ = view.function(function, Permission.FUNCTION_WRITE)
    found = view.unit.versions.get(view.organization, version)
    if found is None:
        raise absent("version", version)
    values = view.unit.values.usable(view.organization, known.project, known.id)
    bound = bind_test_values(found.declaration, values)
    identifier = "t" + digest_of({"rerun": found.id, "digest": found.digest}).removeprefix("sha256:")[:16]
    code = (found.digest, found.declaration, found.layers)
    named = {value.id: value for value in values}
    return tried_target(identifier, found.id, known, code, (bound, named)), found.number
