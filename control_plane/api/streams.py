"""The streams process: one server-sent-events stream for each console, apart from the API's threads.

It only reads, so that open streams can starve nothing that people wait for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from control_plane.api.gunicorn_server import serve
from control_plane.process import inherited_keys

__all__ = ["run"]


def run(document: Mapping[str, Any]) -> None:
    """Serve streams until SIGTERM; clients then come back by themselves."""
    inherited_keys()

    def load() -> Any:
        from control_plane.api.event_stream import StreamApp
        from control_plane.bootstrap.streams import build_stream_services
        from control_plane.settings import settings_from_document
        from control_plane.wsgi import api_options_of

        settings = settings_from_document(json.dumps(document))
        return StreamApp(build_stream_services(document), api_options_of(settings, b""))

    serve(
        [Path(document["run"]) / "streams.sock"],
        load,
        worker_class="control_plane.api.stream_worker.StreamWorker",
        worker_connections=2_000,
        # Open streams never end by themselves, so a stop must not wait for them.
        graceful_timeout=2,
        asgi_lifespan="off",
        asgi_loop="asyncio",
    )
