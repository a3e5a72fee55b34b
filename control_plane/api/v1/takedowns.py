"""Taking a function down at once; asking for it is a review of kind `takedown`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from control_plane.api.access import Place, requires
from control_plane.api.auth import current_actor
from control_plane.api.schemas import Input, Number, Output
from control_plane.api.state import services
from control_plane.api.v1.blueprints import make_blueprint
from control_plane.domain.access import Permission

blueprint = make_blueprint("takedowns")


class TakedownIn(Input):
    """Why, and what: one version, or every version that may run."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]
    version: Number | None = None


class TakedownOut(Output):
    """Ids of the versions that may run no more until a review reinstates them."""

    versions: list[str]


@blueprint.post("/functions/<function>/takedown")
@requires(Permission.FUNCTION_TAKEDOWN, Place.FUNCTION)
@blueprint.input(TakedownIn)
@blueprint.output(TakedownOut)
def take_down_function(function: str, json_data: TakedownIn) -> dict[str, Any]:
    """Take versions down at once: releases that hold one end, and calls reach them no more."""
    taken = services().takedowns.now(
        current_actor(), function, reason=json_data.reason, version=json_data.version or ""
    )
    return {"versions": list(taken)}
