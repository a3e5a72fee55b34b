"""gunicorn's ASGI worker with a backlog that takes a thousand consoles that come back at once."""

from __future__ import annotations

from functools import partial
from typing import Any

from gunicorn.workers.gasgi import ASGIWorker  # type: ignore[import-untyped]

__all__ = ["StreamWorker"]


class StreamWorker(ASGIWorker):  # type: ignore[misc]
    """Listens with gunicorn's backlog; the event loop's own is 100, and what is beyond is refused."""

    def _setup_event_loop(self) -> None:
        super()._setup_event_loop()
        loop: Any = self.loop
        loop.create_server = partial(loop.create_server, backlog=self.cfg.backlog)
