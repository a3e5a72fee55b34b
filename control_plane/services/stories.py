"""One call's story, put together from usage, host, control database and log, as far as the reader may see.

What is decided about a call was decided before; this only gathers and names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from control_plane.domain.access import Permission
from control_plane.domain.functions import Function
from control_plane.domain.metering import FAULT_OF, InstanceStart, Outcome
from control_plane.domain.refusals import EXITS, REFUSALS, Explained
from control_plane.domain.reviews import ReviewState
from control_plane.domain.waterfall import Part, waterfall
from control_plane.errors import IngotError
from control_plane.ports import FunctionLogs
from control_plane.services.changes import View
from control_plane.store.invocation_queries import InvocationReader
from control_plane.store.usage_rows import event_of_row

__all__ = ["Approved", "Invocation", "Story", "Teller", "invocation_of"]

_MOST_RECORDS: Final = 200
_APPROVED: Final = frozenset({ReviewState.APPROVED, ReviewState.PUBLISHED})


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call as its function's owners see it."""

    id: str
    request_id: str
    trace_id: str
    function: str
    version: str
    api_key: str
    accepted_ms: int
    method: str
    mode: str
    status: int
    refusal: str
    outcome: str
    fault: str
    exit_reason: str
    cold: bool
    queue_ms: int
    cold_ms: int
    duration_ms: int
    billed_ms: int
    memory_mb: int
    bytes_in: int
    bytes_out: int
    stream: str


@dataclass(frozen=True, slots=True)
class Approved:
    """Who said yes to exactly the digest that ran."""

    review: str
    email: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Story:
    """One call with all that is known of it. What the reader may not see is empty and named in `hidden`."""

    call: Invocation
    parts: tuple[Part, ...] = ()
    # organization/function, and the address below the functions' origin that reaches the same version
    route: str = ""
    pinned: str = ""
    version_number: int = 0
    digest: str = ""
    release_number: int = 0
    unreviewed: bool = False
    key_name: str = ""
    target: str = ""
    instance: str = ""
    level: int = 0
    approvals: tuple[Approved, ...] = ()
    explained: Explained | None = None
    logs: tuple[Mapping[str, Any], ...] = ()
    # Names of the permissions that would show more.
    hidden: tuple[str, ...] = ()


def invocation_of(row: Any) -> Invocation:
    """Return a row of usage as a call."""
    return Invocation(
        id=row.id,
        request_id=row.request_id or row.id,
        trace_id=row.trace,
        function=row.function,
        version=row.version,
        api_key=row.api_key,
        accepted_ms=row.accepted_ms,
        method=row.method,
        mode="stream" if row.streaming else "sync",
        status=row.status,
        refusal=row.refusal,
        outcome=row.outcome,
        fault=FAULT_OF[Outcome(row.outcome)].value,
        exit_reason=row.exit_reason,
        cold=row.ready_ms > 0,
        queue_ms=max(row.queue_ms, 0),
        cold_ms=row.cold_ms,
        duration_ms=row.ended_ms - row.dispatched_ms,
        billed_ms=row.billed_ms,
        memory_mb=row.memory_mb,
        bytes_in=row.bytes_in,
        bytes_out=row.bytes_out,
        stream=row.stream,
    )


class Teller:
    """Tells calls' stories: `begin` within a read of the control database, `finish` after it."""

    def __init__(self, reader: InvocationReader, logs: FunctionLogs) -> None:
        self._reader = reader
        self._logs = logs

    def begin(self, view: View, row: Any) -> Story:
        """Return what usage, host and control database know of a call."""
        call = invocation_of(row)
        start = self._reader.start(row.target, row.ready_ms) if row.ready_ms else None
        begun = InstanceStart(*start) if start is not None else None
        story = Story(
            call=call,
            parts=waterfall(event_of_row(row), begun),
            target=row.target,
            instance=begun.instance if begun else "",
            level=begun.level if begun else 0,
            explained=EXITS.get(call.exit_reason) or REFUSALS.get(call.refusal),
        )
        function = view.unit.functions.get(view.organization, call.function) if call.function else None
        if function is None:
            return story
        return _hidden(view, function, _approved(view, function, _named(view, function, story)))

    def finish(self, story: Story) -> Story:
        """Add what the function wrote during the call. A log that cannot be read hides nothing else."""
        call = story.call
        if not call.function or not story.target or Permission.LOG_READ in story.hidden:
            return story
        try:
            page = self._logs.read(
                call.function, request=call.request_id, limit=_MOST_RECORDS, around_ms=call.accepted_ms
            )
        except IngotError:
            return story
        return replace(story, logs=page.records)


def _named(view: View, function: Function, story: Story) -> Story:
    call = story.call
    tenant = view.unit.identity.organization(view.organization)
    route = f"{tenant.name}/{function.name}" if tenant else function.name
    version = view.unit.versions.runnable([call.version]).get(call.version) if call.version else None
    if version is None or version.organization != view.organization:
        return replace(story, route=route)
    releases = [
        one
        for one in view.unit.releases.live_since(view.organization, function.id, call.accepted_ms)
        if one.live_ms <= call.accepted_ms + call.duration_ms
        and any(part.version == version.id for part in one.parts)
    ]
    newest = max(releases, key=lambda one: one.live_ms, default=None)
    return replace(
        story,
        route=route,
        pinned=f"{route}@{version.number}",
        version_number=version.number,
        digest=version.digest,
        release_number=newest.number if newest else 0,
        unreviewed=bool(newest and newest.unreviewed),
    )


def _approved(view: View, function: Function, story: Story) -> Story:
    """Add who approved the digest, and the key's name, for those who may read these."""
    project = view.unit.identity.project(view.organization, function.project)
    if project is None:
        return story
    call = story.call
    if call.version and view.allows(Permission.REVIEW_READ, project.scope):
        reviews = view.unit.reviews.of_version(view.organization, call.version)
        yes = tuple(
            Approved(review.id, approval.email, approval.at_ms)
            for review in reviews
            if review.state in _APPROVED
            for approval in review.approvals
            if approval.digest == story.digest
        )
        story = replace(story, approvals=yes)
    if call.api_key and view.allows(Permission.KEY_READ, project.scope):
        key = view.unit.credentials.key(view.organization, call.api_key)
        story = replace(story, key_name=key.name if key else "")
    return story


def _hidden(view: View, function: Function, story: Story) -> Story:
    project = view.unit.identity.project(view.organization, function.project)
    wanted = (Permission.LOG_READ, Permission.REVIEW_READ, Permission.KEY_READ)
    lacking = [one for one in wanted if project is None or not view.allows(one, project.scope)]
    return replace(story, hidden=tuple(str(one) for one in lacking))
