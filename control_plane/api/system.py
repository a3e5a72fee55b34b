"""Routes about the process itself: alive, ready, measured, described."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response, current_app, jsonify

from control_plane.api.access import Place, public, requires
from control_plane.api.auth import current_actor
from control_plane.api.openapi import document
from control_plane.api.state import ApiState, services
from control_plane.domain.access import Permission

__all__ = ["blueprint"]

blueprint = APIBlueprint("system", __name__, enable_openapi=False)


@blueprint.get("/livez")
@public("Says only that the process answers.")
def livez() -> Response:
    """Answer while the process can answer at all."""
    return Response("ok\n", content_type="text/plain; charset=utf-8")


@blueprint.get("/readyz")
@public("Says only which of this process' own parts answer.")
def readyz() -> Response:
    """Answer 200 when requests can be served, else the problem with each part that does not answer."""
    parts = services().health.check()
    return Response(f"ready: {', '.join(parts)}\n", content_type="text/plain; charset=utf-8")


@blueprint.get("/metrics")
@requires(Permission.MONITOR_READ, Place.ORGANIZATION)
def metrics() -> Response:
    """Show what functions, the API and the machine do; scrape it with a personal token."""
    state: ApiState = current_app.extensions["ingot"]
    return state.metrics.render(services().monitor.scrape(current_actor()))


@blueprint.get("/api/v1/openapi.json")
@public("The API's description holds no tenant's data.")
def openapi() -> Any:
    """Show the API's description."""
    return jsonify(document())
