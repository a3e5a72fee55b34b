"""Serves calls with a loaded handler until told to quit: the one entry point for a template.

Importing this module imports what every kind of handler needs. Everything
else it needs comes as descriptors.
"""

from __future__ import annotations

import contextlib
import socket
import sys

from . import logger, logpipe, threads
from .exchange import Patience
from .handler import is_async
from .load import Loaded
from .quitting import Quit
from .serving import Serving, failed
from .slots import SlotTable

__all__ = ["failed", "serve"]


def serve(
    loaded: Loaded,
    listener: socket.socket,
    slots: int,
    log_fd: int,
    status: socket.socket,
    *,
    patience: Patience | None = None,
) -> bool:
    """Say `ready`, serve, and return after a drain; False when the start-up hook failed."""
    logpipe.install(log_fd)
    logger.configure()
    _reseed()
    listener.setblocking(False)
    table = SlotTable(slots, loaded.concurrency)
    serving = Serving(loaded, listener, table, Quit(status), patience or Patience(), status)
    needs_loop = loaded.kind == "asgi" or (loaded.kind == "handler" and is_async(loaded.target))
    started = _run_on_a_loop(serving) if needs_loop else threads.run(serving)
    for stream in (sys.stdout, sys.stderr):
        # The author may have replaced or closed them.
        with contextlib.suppress(Exception):
            stream.flush()
    return started


def _run_on_a_loop(serving: Serving) -> bool:
    # A template has it loaded; a container pays for it only where it is needed.
    from . import asynchronous

    return asynchronous.run(serving)


def _reseed() -> None:
    """Give this instance random numbers of its own: its template's other children have the same state."""
    for name in ("random", "numpy.random"):
        module = sys.modules.get(name)
        if module is not None:
            with contextlib.suppress(Exception):
                module.seed()
