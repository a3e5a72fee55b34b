"""What a stream sends: each feed says what is new behind a position, and whether anything will follow.

A feed reads through services, for the actor that it is given each time; how
bytes reach a client is `event_stream`'s business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from control_plane.api.schemas import timestamp
from control_plane.domain.events import Event
from control_plane.domain.identity import Actor
from control_plane.services.events import Events
from control_plane.services.run_watch import RunWatch

__all__ = ["EventFeed", "Feed", "News", "RunFeed", "render_event"]

_BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class News:
    """What came, and the position behind it."""

    chunks: tuple[bytes, ...]
    position: int
    # More is there already.
    more: bool = False
    # Nothing will follow.
    ended: bool = False


class Feed(Protocol):
    """One thing to listen to."""

    # How often to look, in seconds; None: as often as the stream does.
    pause_s: float | None
    # Nothing is new unless the organization's audit chain or events moved.
    journalled: bool

    def first(self, actor: Actor, after: int | None) -> int:
        """Return the position to begin behind; None begins with what comes next."""
        ...

    def news(self, actor: Actor, position: int) -> News:
        """Return what is new behind a position."""
        ...


class EventFeed:
    """An organization's events."""

    pause_s: float | None = None
    journalled: bool = True

    def __init__(self, events: Events) -> None:
        self._events = events

    def first(self, actor: Actor, after: int | None) -> int:
        """Return the newest event's place, unless another is named; refuse who may not listen."""
        latest = self._events.latest(actor)
        return latest if after is None else after

    def news(self, actor: Actor, position: int) -> News:
        """Return the events behind a place."""
        events = self._events.after(actor, position, limit=_BATCH)
        place = events[-1].sequence if events else position
        return News(tuple(render_event(event) for event in events), place, more=len(events) == _BATCH)


class RunFeed:
    """One test run: its log records as they come, then how it ended."""

    pause_s: float | None = 0.1
    journalled: bool = False

    def __init__(self, watch: RunWatch, function: str, run: str) -> None:
        self._watch, self._function, self._run = watch, function, run

    def first(self, actor: Actor, after: int | None) -> int:
        """Begin with the first record, unless a client comes back; refuse who may not look."""
        self._watch.look(actor, self._function, self._run, 0)
        return after or 0

    def news(self, actor: Actor, position: int) -> News:
        """Return the records behind a number of them."""
        seen = self._watch.look(actor, self._function, self._run, position)
        chunks = [
            _render(position + number, "log", record) for number, record in enumerate(seen.records, start=1)
        ]
        ended = seen.run.state != "running"
        if ended:
            run = seen.run
            outcome = {"state": run.state, "status": run.status, "code": run.code, "message": run.message}
            chunks.append(_render(seen.position, "finished", outcome))
        return News(tuple(chunks), seen.position, ended=ended)


def render_event(event: Event) -> bytes:
    """Return one event in the stream's format; its id is where a client resumes."""
    body = {
        "sequence": event.sequence,
        "id": event.id,
        "type": event.type,
        "subject": event.subject,
        "time": timestamp(event.time_ms),
        "data": dict(event.data),
    }
    return _render(event.sequence, event.type, body)


def _render(identifier: int, kind: str, body: Mapping[str, Any]) -> bytes:
    return f"id: {identifier}\nevent: {kind}\ndata: {json.dumps(body)}\n\n".encode()
