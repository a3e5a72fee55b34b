"""Test runs: one request to a draft in the production sandbox, with test-scoped values only."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from control_plane.domain.access import Permission
from control_plane.domain.canonical import digest_of
from control_plane.domain.desired import HostTarget
from control_plane.domain.functions import Draft, Function
from control_plane.domain.identity import Actor
from control_plane.domain.test_runs import TestRun
from control_plane.errors import Conflict, IngotError, Invalid, TooMany
from control_plane.ports import Blobs, Builder, Runtime, TestCall, TestOutcome, Tried
from control_plane.services.changes import Changes, Page, View, absent
from control_plane.services.draft_targets import bind_test_values, tried_target
from control_plane.services.drafts import Drafts, read_files

__all__ = ["Builds", "TestRuns", "find_run"]

# Answers larger than this are cut in the row; production answers are not.
_KEPT_BODY: Final = 262_144
_LONGEST_MS: Final = 120_000
# What resolving and building may take before the request itself.
_BUILD_MS: Final = 300_000
# Runs that nobody waits for, in each process of the api; each occupies a thread while it lasts.
_AT_ONCE: Final = 4
_WAITING: Final = 32


@dataclass(frozen=True, slots=True)
class Builds:
    """What it takes to turn a draft's files into layers."""

    blobs: Blobs
    builder: Builder
    drafts: Drafts

    def draft(self, actor: Actor, function: str) -> tuple[Draft, Tried]:
        """Make the present draft run here, with its dependencies resolved; takes as long as that does.

        An edit that leaves them alone costs next to nothing.
        """
        draft = self.drafts.get(actor, function)
        tried = self.builder.try_out(read_files(self.blobs, draft.files), draft.lock)
        if tried is None:
            draft = self.drafts.lock(actor, function)
            tried = self.builder.try_out(read_files(self.blobs, draft.files), draft.lock)
        if tried is None:
            raise Conflict("The draft was edited while its dependencies were resolved.", hint="Try again.")
        return draft, tried


def find_run(view: View, function: str, run: str) -> TestRun:
    """Return a test run of this function, as it stands now."""
    known, _ = view.function(function, Permission.FUNCTION_READ)
    found = view.unit.functions.test_run(view.organization, run)
    if found is None or found.function != known.id:
        raise absent("test run", run)
    return found.as_seen_at(view.now_ms)


class TestRuns:
    """Use cases about trying a draft."""

    __test__ = False

    def __init__(
        self, changes: Changes, builds: Builds, runtime: Runtime, executor: Executor | None = None
    ) -> None:
        self._changes = changes
        self._builds = builds
        self._runtime = runtime
        self._executor = executor or ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="test-run")
        self._places = threading.BoundedSemaphore(_AT_ONCE + _WAITING)

    def run(self, actor: Actor, function: str, call: TestCall) -> TestRun:
        """Lock and build the draft where needed, run one request, and return what happened.

        Takes as long as the request does, outside any transaction. A live
        value is never resolved; missing test values are named in the refusal.
        """
        known, _ = self._admitted(actor, function, call)
        draft, built = self._builds.draft(actor, known.id)
        target = self._target(actor, known, draft, built)
        run = self._begin(actor, known, draft, call)
        return self._perform(actor, run, target, call)

    def start(self, actor: Actor, function: str, call: TestCall) -> TestRun:
        """Begin a run that nobody waits for; what keeps it from running stands in the run."""
        known, draft = self._admitted(actor, function, call)
        if not self._places.acquire(blocking=False):
            raise TooMany("Too many test runs wait already.", hint="Wait until one of them has ended.")
        try:
            run = self._begin(actor, known, draft, call)
            self._executor.submit(self._work, actor, known, run, call)
        except BaseException:
            self._places.release()
            raise
        return run

    def get(self, actor: Actor, function: str, run: str) -> TestRun:
        """Return one test run."""
        with self._changes.read(actor) as view:
            return find_run(view, function, run)

    def list(self, actor: Actor, function: str, *, after: str = "", limit: int = 20) -> Page[TestRun]:
        """Return test runs of a function behind an id, newest first."""
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_READ)
            rows = view.unit.functions.test_runs(actor.organization, known.id, limit + 1, after)
            seen = tuple(run.as_seen_at(view.now_ms) for run in rows[:limit])
        return Page(seen, seen[-1].id if len(rows) > limit else "")

    def cancel(self, actor: Actor, function: str, run: str) -> TestRun:
        """End a run: nothing of it goes on. Raises Conflict when it has ended by itself.

        Cancelling it once more ends the process that an attempt which broke off has left.
        """
        with self._changes.change(actor, "test_run.cancel", f"test_run/{run}") as change:
            change.function(function, Permission.FUNCTION_WRITE)
            found = find_run(change, function, run)
            if found.state not in {"running", "cancelled"}:
                raise Conflict(f"The test run is {found.state} already.")
            cancelled = found
            if found.state == "running":
                cancelled = replace(found, state="cancelled", code="cancelled", message="It was cancelled.")
                change.unit.functions.update_test_run(cancelled)
                data = {"function": found.function, "state": cancelled.state, "code": cancelled.code}
                change.happened("test_run.finished", run, data)
        self._runtime.cancel_test(run)
        return cancelled

    def _admitted(self, actor: Actor, function: str, call: TestCall) -> tuple[Function, Draft]:
        if not 1 <= call.timeout_ms <= _LONGEST_MS:
            raise Invalid(f"A test run's timeout is 1 to {_LONGEST_MS} ms.", field="timeout_ms")
        with self._changes.read(actor) as view:
            known, _ = view.function(function, Permission.FUNCTION_WRITE)
            return known, view.unit.functions.draft(actor.organization, known.id)

    def _work(self, actor: Actor, function: Function, run: TestRun, call: TestCall) -> None:
        """Do what `run` does, in a thread of its own; every end is written down."""
        try:
            draft, built = self._builds.draft(actor, function.id)
            target = self._target(actor, function, draft, built)
            self._perform(actor, replace(run, revision=draft.revision), target, call)
        except IngotError as error:
            self._finish(actor, run, TestOutcome(code=error.code, message=_sentences(error)))
        finally:
            self._places.release()

    def _perform(self, actor: Actor, run: TestRun, target: HostTarget, call: TestCall) -> TestRun:
        run = replace(run, digest=target.digest)
        if self.get(actor, run.function, run.id).state != "running":
            return self._finish(actor, run, TestOutcome(code="cancelled"))
        try:
            outcome = self._runtime.test(target, replace(call, run=run.id))
        except Exception as error:
            self._finish(actor, run, TestOutcome(code="unavailable", message=str(error)[:500]))
            raise
        return self._finish(actor, run, outcome)

    def _target(self, actor: Actor, function: Function, draft: Draft, built: Tried) -> HostTarget:
        with self._changes.read(actor) as view:
            values = view.unit.values.usable(actor.organization, function.project, function.id)
        bound = bind_test_values(built.declaration, values)
        return tried_target(
            "t" + digest_of({"draft": function.id, "digest": built.digest}).removeprefix("sha256:")[:16],
            f"draft-{draft.revision}",
            function,
            (built.digest, built.declaration, built.layers),
            (bound, {value.id: value for value in values}),
        )

    def _begin(self, actor: Actor, function: Function, draft: Draft, call: TestCall) -> TestRun:
        with self._changes.change(actor, "test_run.start", f"function/{function.id}") as change:
            run = TestRun(
                id=change.new_id("test_run"),
                organization=actor.organization,
                project=function.project,
                function=function.id,
                revision=draft.revision,
                digest="",
                created_by=actor.user,
                created_ms=change.now_ms,
                state="running",
                deadline_ms=change.now_ms + _BUILD_MS + call.timeout_ms,
            )
            change.unit.functions.add_test_run(run)
            change.record(f"test_run/{run.id}", {"function": function.id, "revision": draft.revision})
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
            present = change.unit.functions.test_run(actor.organization, run.id)
            if present is not None and present.state == "cancelled":
                # Whoever cancelled has told of it; what it wrote until then is worth keeping.
                done = replace(done, state=present.state, code=present.code, message=present.message)
                change.unit.functions.update_test_run(done)
                return done
            change.unit.functions.update_test_run(done)
            data = {"function": run.function, "state": done.state, "code": done.code}
            change.happened("test_run.finished", run.id, data)
        return done


def _sentences(error: IngotError) -> str:
    """Return the error with its hint and the tool's own lines, as a reader of the run needs them."""
    lines = [error.message, *([error.hint] if error.hint else []), *(line for _, line in error.errors)]
    return "\n".join(lines)[:4_000]
