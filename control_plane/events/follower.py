"""The process that keeps one more gateway at what is live, looking four times a second."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from control_plane.bootstrap.follower import Follower, build_follower
from control_plane.process import inherited_keys, log_to_stderr, say_ready, stop_event

__all__ = ["follow", "run"]

# Far below the ten seconds for which a replaced version goes on, and below two for a revoked key.
_LOOK_S: Final = 0.25


def run(document: Mapping[str, Any]) -> None:
    """Follow until SIGTERM; ready when the gateway's files hold what is live, which its start reads."""
    follow(build_follower(document, inherited_keys()), stop_event(), say_ready)


def follow(parts: Follower, stop: threading.Event, ready: Callable[[], None]) -> None:
    """Look until told to stop. A look that fails comes again: what was live stays until then."""
    trouble, told = "", False
    while not stop.is_set():
        try:
            parts.step()
            parts.renew_hops()
        except Exception as error:  # noqa: BLE001 - whatever a look met, the gateway is followed on
            found = repr(error)
        else:
            found = ""
            if not told:
                told = True
                ready()
        if found != trouble:
            trouble = found
            level = "error" if found else "info"
            log_to_stderr("follower", level, "the gateway is behind" if found else "up to date", error=found)
        stop.wait(_LOOK_S)
