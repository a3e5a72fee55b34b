"""What the stream of a function's releases sends: the whole status, each time that it changes."""

from __future__ import annotations

import json
from hashlib import sha256

from control_plane.api.feeds import News
from control_plane.api.release_models import StatusOut
from control_plane.domain.identity import Actor
from control_plane.services.release_reads import ReleaseReads

__all__ = ["ReleaseFeed"]


class ReleaseFeed:
    """Where one function's traffic stands, from now on."""

    pause_s: float | None = None
    # Conditions come without an audit entry.
    journalled: bool = False

    def __init__(self, releases: ReleaseReads, function: str) -> None:
        self._releases, self._function = releases, function

    def first(self, actor: Actor, after: int | None) -> int:
        """Begin with the status itself, unless the client has seen just that; refuse who may not look."""
        self._releases.status(actor, self._function)
        return after or 0

    def news(self, actor: Actor, position: int) -> News:
        """Return the status when it is not the one at `position`, which is made of its content."""
        status = self._releases.status(actor, self._function)
        body = json.dumps(StatusOut.model_validate(status).model_dump(mode="json"))
        # 15 digits, which every client can hold as a number.
        place = int(sha256(body.encode()).hexdigest(), 16) % 10**15 + 1
        if place == position:
            return News((), position)
        return News((f"id: {place}\nevent: status\ndata: {body}\n\n".encode(),), place)
