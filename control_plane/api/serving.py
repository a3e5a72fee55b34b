"""The api process: gunicorn with threads, one worker, on api.sock."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from control_plane.api.gunicorn_server import serve
from control_plane.process import inherited_keys

__all__ = ["run"]


def run(document: Mapping[str, Any]) -> None:
    """Serve the API until SIGTERM, then finish what runs."""
    keys = inherited_keys()

    def load() -> Any:
        from control_plane.wsgi import build_app

        app = build_app(document, keys)
        # What is there now stays: to look through it for garbage again and again would stop every thread.
        gc.collect()
        gc.freeze()
        return app

    # Threads wait for locks, freezes and test runs of other processes, so there are
    # more of them than cores; one process keeps limits in memory exact.
    serve(
        Path(document["run"]) / "api.sock",
        load,
        worker_class="gthread",
        threads=24,
        keepalive=30,
        # The gateway bounds the line; what passes it is refused as a problem, not as a page.
        limit_request_line=0,
    )
