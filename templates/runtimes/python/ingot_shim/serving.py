"""What every kind of server needs, gathered once by `serve`."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from .exchange import Patience
from .load import Loaded
from .quitting import Quit, tell
from .slots import SlotTable

__all__ = ["HOOK_SECONDS", "Serving", "failed"]

# `on_start`, `on_stop` and an application's lifespan may take this long each.
HOOK_SECONDS = 30.0
_MESSAGE_LIMIT = 7_000
# Connections that may wait while all slots are busy.
_BACKLOG = 1_024


@dataclass(frozen=True, slots=True)
class Serving:
    """One instance's code, descriptors and limits."""

    loaded: Loaded
    listener: socket.socket
    table: SlotTable
    quit: Quit
    patience: Patience
    status: socket.socket

    def open(self) -> None:
        """Let connections in. A listener that is shared listens already; one of our own only from now on.

        Whoever asks whether the instance is ready connects: until then it is refused.
        """
        if not self.listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self.listener.listen(_BACKLOG)

    def ready(self) -> None:
        """Tell the host that calls are accepted from now on."""
        event: dict[str, object] = {"event": "ready", "import_us": self.loaded.import_us}
        if self.loaded.profile is not None:
            event["profile"] = self.loaded.profile
        tell(self.status, event)

    def failed(self, code: str, message: str) -> None:
        """Tell the host that this instance cannot serve."""
        failed(self.status, code, message)


def failed(status: socket.socket, code: str, message: str) -> None:
    """Tell the host that an instance cannot serve; the end of a long message says most."""
    tell(status, {"event": "failed", "code": code, "message": message[-_MESSAGE_LIMIT:]})
