"""Test runs: one request to a draft in the production sandbox, with test-scoped values only."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Final

from control_plane.domain.access import Permission
from control_plane.domain.desired import HostTarget
from control_plane.domain.functions import Draft, Function, TestRun
from control_plane.domain.identity import Actor
from control_plane.domain.releases import ReleasePart, target_id
from control_plane.domain.values import Stage, Value, bind
from control_plane.errors import Invalid
from control_plane.ports import Blobs, Builder, Built, Runtime, TestCall, TestOutcome
from control_plane.services.changes import Changes, absent
from control_plane.services.drafts import Drafts, read_files

__all__ = ["TestRuns"]

# Answers larger than this are cut in the row; production answers are not.
_KEPT_BODY: Final = 262_144
_LONGEST_MS: Final = 120_000


class TestRuns:
    """Use cases about trying a draft."""

    __test__ = False

    def __init__(
        self, changes: Changes, blobs: Blobs, builder: Builder, drafts: Drafts, runtime: Runtime
    ) -> None:
        self._changes = changes
        self._blobs = blobs
        self._builder = builder
        self._drafts = drafts
        self._runtime = runtime

    def run(self, actor: Actor, function: str, call: TestCall) -> TestRun:
        """Lock and build the draft where needed, run one request, and return what happened.

        Takes as long as the request does, outside any transaction. A live
        value is never resolved; missing test values are named in the refusal.
        """
        if not 1 <= call.timeout_ms <= _LONGEST_MS:
            raise Invalid(f"A test run's timeout is 1 to {_LONGEST_MS} ms.", field="timeout_ms")
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_WRITE)
        draft = self._drafts.lock(actor, known.id)
        built = self._builder.build(read_files(self._blobs, draft.files), draft.lock)
        with self._changes.read(actor) as view:
            values = view.unit.values.usable(actor.organization, known.project, known.id)
        target = self._target(known, draft, built, values)
        run = self._begin(actor, known, draft, built)
        try:
            outcome = self._runtime.test(target, call)
        except Exception as error:
            self._finish(actor, run, TestOutcome(code="unavailable", message=str(error)[:500]))
            raise
        return self._finish(actor, run, outcome)

    def get(self, actor: Actor, function: str, run: str) -> TestRun:
        """Return one test run."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_READ)
            found = view.unit.functions.test_run(actor.organization, run)
        if found is None or found.function != known.id:
            raise absent("test run", run)
        return found

    def list(self, actor: Actor, function: str, *, limit: int = 20) -> tuple[TestRun, ...]:
        """Return the newest test runs of a function."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_READ)
            return view.unit.functions.test_runs(actor.organization, known.id, limit)

    def _target(
        self, function: Function, draft: Draft, built: Built, values: tuple[Value, ...]
    ) -> HostTarget:
        declaration = built.declaration
        usable = {value.id: value for value in values if value.stage is Stage.TEST}
        bound = bind(declaration, usable.values())
        part = ReleasePart(
            version=f"draft:{function.id}",
            number=0,
            digest=built.digest,
            percent=100,
            bound=bound,
            base=self._builder.base(declaration.runtime),
        )
        return HostTarget(
            id=target_id(part, function.organization, "test", declaration.limits),
            organization=function.organization,
            project=function.project,
            function=function.id,
            function_name=function.name,
            version=f"draft-{draft.revision}",
            number=0,
            digest=built.digest,
            runtime=declaration.runtime,
            kind=declaration.kind,
            handler=declaration.handler,
            layers=built.layers,
            input_schema=declaration.input_schema,
            output_schema=declaration.output_schema,
            limits=declaration.limits,
            settings={name: usable[identifier].content for name, identifier in bound.settings.items()},
            secrets={name: usable[identifier].content for name, identifier in bound.secrets.items()},
            streaming=declaration.streaming,
            warm=False,
        )

    def _begin(self, actor: Actor, function: Function, draft: Draft, built: Built) -> TestRun:
        with self._changes.change(actor, "test_run.start", f"function/{function.id}") as change:
            run = TestRun(
                id=change.new_id("test_run"),
                organization=actor.organization,
                project=function.project,
                function=function.id,
                revision=draft.revision,
                digest=built.digest,
                created_by=actor.user,
                created_ms=change.now_ms,
                state="running",
            )
            change.unit.functions.add_test_run(run)
            change.record(f"test_run/{run.id}", {"function": function.id, "digest": built.digest})
        return run

    def _finish(self, actor: Actor, run: TestRun, outcome: TestOutcome) -> TestRun:
        done = replace(
            run,
            state="failed" if outcome.code else "answered",
            status=outcome.status,
            headers=outcome.headers,
            body=base64.b64encode(outcome.body[:_KEPT_BODY]).decode(),
            logs=tuple(outcome.logs),
            duration_us=round(outcome.duration_ms * 1_000),
            import_us=round(outcome.import_ms * 1_000),
            import_profile=outcome.import_profile,
            peak_kb=round(outcome.peak_mb * 1_024),
            code=outcome.code,
            message=outcome.message,
        )
        with self._changes.change(actor, "test_run.finish", f"test_run/{run.id}") as change:
            change.unit.functions.update_test_run(done)
            data = {"function": run.function, "state": done.state, "code": done.code}
            change.happened("test_run.finished", run.id, data)
        return done
