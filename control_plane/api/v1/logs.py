"""A function's log records."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.schemas import Input, Output
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission

blueprint = make_blueprint("logs")


class LogQuery(Input):
    """Which records to show."""

    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    after: Annotated[str, Field(max_length=60, description="`after` of the answer before.")] = ""
    request_id: Annotated[str, Field(max_length=128)] = ""


class LogsOut(Output):
    """Records, oldest first; `after` continues behind them."""

    items: list[dict[str, Any]]
    after: str


@blueprint.get("/functions/<function>/logs")
@requires(Permission.LOG_READ, Place.FUNCTION)
@blueprint.input(LogQuery, location="query")
@blueprint.output(LogsOut)
def read_logs(function: str, query_data: LogQuery) -> LogsOut:
    """Show the newest records, or those that came behind a position."""
    page = services().logs.read(
        current_actor(),
        function,
        after=query_data.after,
        request=query_data.request_id,
        limit=query_data.limit,
    )
    return LogsOut(items=[dict(record) for record in page.records], after=page.position)
