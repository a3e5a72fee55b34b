"""Runs gunicorn inside a role's process: workers on a Unix socket, JSON lines on standard error."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from control_plane.json_logs import JsonLines

__all__ = ["serve"]


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, load: Callable[[], Any], options: dict[str, Any]) -> None:
        self._make = load
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._make()


def serve(sockets: Sequence[Path], load: Callable[[], Any], **options: Any) -> None:
    """Serve what `load` returns until SIGTERM, then drain. Does not return.

    Each socket has a process of its own, so that whoever connects decides how much work each one has.
    """
    ready = os.environ.pop("INGOT_READY_FD", "")

    def say_ready(_worker: Any) -> None:
        # Only the first worker finds somebody who waits.
        if ready:
            with contextlib.suppress(OSError):
                os.write(int(ready), b"READY=1\n")

    def choose(arbiter: Any, worker: Any) -> None:
        taken = {other.place for other in arbiter.WORKERS.values()}
        worker.place = next(place for place in range(len(sockets)) if place not in taken)

    def keep_own(_arbiter: Any, worker: Any) -> None:
        worker.sockets = [worker.sockets[worker.place]]

    for path in sockets:
        # A socket of a killed process would refuse the new one's bind.
        path.unlink(missing_ok=True)
    common = {
        "bind": [f"unix:{path}" for path in sockets],
        "umask": 0o117,
        "workers": len(sockets),
        "pre_fork": choose,
        "post_fork": keep_own,
        "graceful_timeout": 30,
        "control_socket_disable": True,
        "logconfig_dict": _LOGGING,
        "post_worker_init": say_ready,
    }
    _Server(load, {**common, **options}).run()


_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonLines}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["stderr"], "propagate": False},
        "gunicorn.access": {"level": "ERROR", "handlers": ["stderr"], "propagate": False},
        "ingot": {"level": "INFO", "handlers": ["stderr"], "propagate": False},
    },
}
