"""Calls as their functions' owners ask for them: lists, one call taken apart, and why it went as it did.

Payloads are never stored, so nothing here can show or repeat one. How a story
is put together from all records is `stories`' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.access import SYSTEM, Permission
from control_plane.domain.identity import Actor, Project
from control_plane.domain.metering import FAULT_OF, Fault, Outcome
from control_plane.errors import Invalid, NotFound
from control_plane.ports import FunctionLogs
from control_plane.services.changes import Changes, View, absent
from control_plane.services.stories import Invocation, Story, Teller, invocation_of
from control_plane.store.invocation_queries import CallFilter, InvocationReader

__all__ = ["InvocationPage", "Invocations", "Wanted"]

# More calls than these under one request id are a load test, not a question.
_MOST_STORIES: Final = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which calls to list. Empty fields mean all; `version` is a number or an id, times are Unix ms."""

    project: str = ""
    function: str = ""
    version: str = ""
    api_key: str = ""
    outcome: str = ""
    fault: str = ""
    # 404, or 4xx for all of them.
    status: str = ""
    mode: str = ""
    cold: bool | None = None
    start_ms: int = 0
    end_ms: int = 0


@dataclass(frozen=True, slots=True)
class InvocationPage:
    """Calls, newest first, and (dispatched_ms, seq) where the next page begins; None at the end."""

    items: tuple[Invocation, ...]
    following: tuple[int, int] | None


class Invocations:
    """Questions about single calls."""

    def __init__(self, changes: Changes, reader: InvocationReader, logs: FunctionLogs) -> None:
        self._changes = changes
        self._reader = reader
        self._teller = Teller(reader, logs)

    def list(
        self, actor: Actor, wanted: Wanted, *, before: tuple[int, int] | None = None, limit: int = 50
    ) -> InvocationPage:
        """Return the newest calls of one project that fit."""
        with self._changes.read(actor) as view:
            project, chosen = _resolved(view, wanted)
        if (wanted.outcome or wanted.fault) and not chosen.outcomes:
            return InvocationPage((), None)
        rows = self._reader.of(actor.organization).calls(project.id, chosen, before, limit + 1)
        shown = tuple(invocation_of(row) for row in rows[:limit])
        following = (rows[limit - 1].dispatched_ms, rows[limit - 1].seq) if len(rows) > limit else None
        return InvocationPage(shown, following)

    def get(self, actor: Actor, usage: str) -> Story:
        """Return one call with all that is known of it."""
        row = self._reader.of(actor.organization).one(actor.organization, usage)
        with self._changes.read(actor) as view:
            if row is None or not _visible(view, row):
                raise absent("invocation", usage)
            told = self._teller.begin(view, row)
        return self._teller.finish(told)

    def why(self, actor: Actor, request: str) -> tuple[Story, ...]:
        """Return the calls with this request id or usage id, oldest first.

        A caller may send one request id with several calls. Calls that met no
        organization's function are shown to those who watch the whole system.
        """
        if not request or len(request) > 128:
            raise Invalid("A request id has 1 to 128 characters.", field="/request_id")
        rows = self._reader.of(actor.organization).by_request(actor.organization, request, _MOST_STORIES)
        with self._changes.read(actor) as view:
            if view.allows(Permission.MONITOR_READ, SYSTEM):
                rows += self._reader.of("").by_request("", request, _MOST_STORIES)
            told = [self._teller.begin(view, row) for row in rows if _visible(view, row)]
        if not told:
            raise NotFound(
                f"No call with the request id “{request[:80]}” is known.",
                hint="A call is known within a second of its answer. Take the id from X-Request-Id or "
                "X-Ingot-Usage-Id of the answer; calls of other organizations cannot be seen.",
            )
        return tuple(self._teller.finish(one) for one in told)


def _visible(view: View, row: Any) -> bool:
    if not row.organization:
        return view.allows(Permission.MONITOR_READ, SYSTEM)
    project = view.unit.identity.project(view.organization, row.project)
    return project is not None and view.allows(Permission.USAGE_READ, project.scope)


def _resolved(view: View, wanted: Wanted) -> tuple[Project, CallFilter]:
    function = ""
    if wanted.function:
        known, project = view.function(wanted.function, Permission.USAGE_READ)
        function = known.id
    else:
        project = _project(view, wanted.project)
    if wanted.start_ms and wanted.end_ms and wanted.start_ms >= wanted.end_ms:
        raise Invalid("The time span is empty.", field="/from", hint="Let “from” lie before “to”.")
    return project, CallFilter(
        function=function,
        version=_version(view, function, wanted.version),
        api_key=wanted.api_key,
        outcomes=_outcomes(wanted),
        status=_status(wanted.status),
        streaming={"": None, "sync": False, "stream": True}[wanted.mode],
        cold=wanted.cold,
        start_ms=wanted.start_ms,
        end_ms=wanted.end_ms,
    )


def _project(view: View, named: str) -> Project:
    if named:
        return view.project(named, Permission.USAGE_READ)
    visible = [
        one
        for one in view.unit.identity.projects(view.organization)
        if view.allows(Permission.USAGE_READ, one.scope)
    ]
    if len(visible) != 1:
        raise Invalid(
            f"Calls are listed for one project, and you can see {len(visible)}.",
            field="/project",
            hint="Name a project or a function: project= or function=, `--project` on the command line.",
        )
    return visible[0]


def _version(view: View, function: str, named: str) -> str:
    if not named.isdecimal():
        return named
    found = view.unit.versions.by_number(view.organization, function, int(named)) if function else None
    if found is None:
        raise Invalid(
            f"There is no version {named[:20]} here.",
            field="/version",
            hint="A number needs function=; an id (ver_…) does not.",
        )
    return found.id


def _outcomes(wanted: Wanted) -> tuple[Outcome, ...]:
    """Return the outcomes that fit both filters; none without a filter."""
    if not (wanted.outcome or wanted.fault):
        return ()
    return tuple(
        outcome
        for outcome in Outcome
        if (not wanted.outcome or outcome is Outcome(wanted.outcome))
        and (not wanted.fault or FAULT_OF[outcome] is Fault(wanted.fault))
    )


def _status(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    if text[1:] == "xx":
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    return int(text), int(text)
