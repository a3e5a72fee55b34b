"""The organization's events in their public order; the stream process shows the same as they come."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.paging import Page, PageQuery, list_position, page_response
from control_plane.api.schemas import MAX_NUMBER, Output, Time
from control_plane.api.spans import Moment, unix_ms
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission
from control_plane.domain.list_filters import EventFilter, types_under

__all__ = ["EventOut", "blueprint"]

blueprint = make_blueprint("events")


class EventQuery(PageQuery):
    """Where to begin, and which events are meant."""

    after: Annotated[int, Field(ge=0, le=MAX_NUMBER, description="Sequence number to begin behind.")] = 0
    type: Annotated[
        str, Field(max_length=80, description="The beginning of the type: review, or review.approved.")
    ] = ""
    subject: Annotated[str, Field(max_length=80, description="Id of what it happened to.")] = ""
    since: Moment = None


class EventOut(Output):
    """One fact."""

    sequence: int
    id: str
    type: str
    subject: str
    time: Annotated[Time, Field(validation_alias="time_ms")]
    data: dict[str, Any]


@blueprint.get("/events")
@requires(Permission.EVENT_READ, Place.ORGANIZATION)
@blueprint.input(EventQuery, location="query")
@blueprint.output(Page[EventOut])
def list_events(query_data: EventQuery) -> Response:
    """List events that fit in the order of their sequence numbers."""
    after = int(list_position(query_data) or query_data.after)
    wanted = EventFilter(types_under(query_data.type), query_data.subject, unix_ms(query_data.since))
    events = services().events.after(current_actor(), after, wanted=wanted, limit=query_data.limit + 1)
    shown = events[: query_data.limit]
    more = shown[-1].sequence if len(events) > query_data.limit else None
    return page_response(EventOut, shown, query_data, more)
