"""Builds the API's application from services; nothing here decides or stores anything."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from apiflask import APIFlask

from control_plane.api import guides, page, system
from control_plane.api.access import install_access
from control_plane.api.auth import install_planted_cookie_removal
from control_plane.api.headers import install_security_headers
from control_plane.api.media import install_media_types
from control_plane.api.methods import install_methods
from control_plane.api.metrics import Metrics, install_metrics
from control_plane.api.openapi import describe
from control_plane.api.paging import Cursors
from control_plane.api.path_numbers import install_path_numbers
from control_plane.api.problems import install_problems
from control_plane.api.request_ids import install_request_ids
from control_plane.api.state import ApiOptions, ApiState
from control_plane.api.v1 import BLUEPRINTS

if TYPE_CHECKING:
    from control_plane.services.container import Services

__all__ = ["create_app"]


def create_app(services: Services, options: ApiOptions | None = None) -> APIFlask:
    """Return the application that serves the API, the first page and the guides."""
    options = options or ApiOptions()
    app = APIFlask(
        "control_plane.api",
        title="Ingot",
        version="v1",
        spec_path=None,
        docs_path=None,
        static_folder=None,  # type: ignore[arg-type]
        # The folder `templates` holds function templates, not pages.
        template_folder=None,  # type: ignore[arg-type]
    )
    app.config.update(
        MAX_CONTENT_LENGTH=options.json_limit,
        MAX_FORM_MEMORY_SIZE=options.json_limit,
        MAX_FORM_PARTS=10,
        AUTO_404_RESPONSE=False,
        AUTO_SERVERS=False,
        TRAP_HTTP_EXCEPTIONS=False,
        PROPAGATE_EXCEPTIONS=False,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    # One address for each thing: a slash more is another address.
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    install_path_numbers(app)
    metrics = Metrics()
    cursors = Cursors(options.cursor_key or secrets.token_bytes(32))
    app.extensions["ingot"] = ApiState(services, options, cursors, metrics)
    # Order matters: ids and clocks first, then who may, then what is sent.
    install_request_ids(app)
    install_metrics(app, metrics)
    install_security_headers(app)
    install_planted_cookie_removal(app)
    install_problems(app)
    install_access(app)
    install_media_types(app)
    install_methods(app)
    for blueprint in (page.blueprint, guides.blueprint, system.blueprint, *BLUEPRINTS):
        app.register_blueprint(blueprint)
    describe(app)
    return app
