"""Makes the API's application from a role's settings document and keys; gunicorn serves it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from apiflask import APIFlask
from werkzeug.middleware.proxy_fix import ProxyFix

from control_plane.api.app import create_app
from control_plane.api.state import ApiOptions
from control_plane.api.tracing import install_tracing
from control_plane.bootstrap.parts import read_settings
from control_plane.bootstrap.services import build_services
from control_plane.bootstrap.traces import make_spans, role_tallies
from control_plane.settings import Settings

__all__ = ["api_options_of", "build_app"]


def build_app(document: Mapping[str, Any], keys: Mapping[str, str]) -> APIFlask:
    """Return the application as the api process serves it."""
    options = api_options_of(read_settings(document), base64.b64decode(keys["cursor"]))
    settings = read_settings(document)
    app = create_app(build_services(document, keys), options)
    if spans := make_spans(settings, "api"):
        install_tracing(app, spans, settings.traces.percent, role_tallies(settings))
    # Only the gateway reaches the socket, and it sets this header anew for each request.
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=0, x_host=0)  # type: ignore[method-assign]
    return app


def api_options_of(settings: Settings, cursor_key: bytes) -> ApiOptions:
    """Return what the HTTP edge must know of its surroundings."""
    url = urlsplit(settings.console_url)
    return ApiOptions(
        console_origins=_origins(settings),
        cookie_port=settings.listen.console_port,
        secure_cookie=url.scheme == "https",
        functions_url=settings.functions_url,
        cursor_key=cursor_key,
    )


def _origins(settings: Settings) -> frozenset[str]:
    """Return the console's origin; on loopback, people also type its other names."""
    origins = {settings.console_url}
    if settings.listen.address in {"127.0.0.1", "::1"} and not settings.listen.console_url:
        origins |= {
            f"{settings.scheme}://{name}:{settings.listen.console_port}"
            for name in ("127.0.0.1", "localhost")
        }
    return frozenset(origins)
