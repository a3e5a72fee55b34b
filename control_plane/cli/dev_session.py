"""One session of `ingot dev`: sends what changed, reloads the preview, reads its logs.

Nothing here prints or waits; `dev` does.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from control_plane.cli.failures import ApiProblem
from control_plane.cli.folder_watch import FolderWatch
from control_plane.cli.references import Link, write_link

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["DevSession", "Reload"]


@dataclass(frozen=True, slots=True)
class Reload:
    """What became of an edit."""

    changed: tuple[str, ...]
    # From the newest file's time, or from when a deletion was seen, until the new code had loaded.
    ms: float
    preview: Mapping[str, Any]
    # What that time went to: until the change was `seen`, `sent`, built and `recorded`, and `loaded`.
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class DevSession:
    """A folder, its function's draft and its preview."""

    client: Client
    folder: Path
    function: str
    etag: str
    watch: FolderWatch
    preview: dict[str, Any] = field(default_factory=dict)
    _after: str = ""
    # What the server did not take, so that it is not sent again unchanged.
    _refused: dict[str, bytes | None] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The function's path in the API."""
        return f"/functions/{self.function}"

    def start(self) -> Reload:
        """Send what differs, start the preview and wait until its code has loaded or failed to."""
        changes = self.watch.changes()
        began = time.time()
        if changes:
            self._send(changes)
        # Records from before are not this session's.
        self._after = self.client.get(f"{self.path}/logs", limit=1)["after"]
        self.preview = self.client.post(f"{self.path}/previews", {})
        return self._reload(tuple(changes), began, began)

    def turn(self) -> Reload | None:
        """Send and reload what changed since the last turn; None when nothing did.

        Raises ApiProblem when the server refuses it; the next turn tries what is there then.
        """
        changes = self.watch.changes()
        if self._refused:
            # They are still to be sent, together with whatever makes them acceptable.
            self.watch.forget_looks()
        if not changes or changes == self._refused:
            return None
        began, seen = self.watch.changed_at or time.time(), time.time()
        try:
            self._send(changes)
        except ApiProblem:
            self._refused = changes
            self.watch.forget_looks()
            raise
        self._refused = {}
        return self._reload(tuple(sorted(changes)), began, seen)

    def records(self) -> list[dict[str, Any]]:
        """Return what the preview has written since the last time."""
        page = self.client.get(f"{self.path}/logs", limit=200, after=self._after or None)
        self._after = page["after"] or self._after
        return [record for record in page["items"] if record.get("version") == self.preview["id"]]

    def renew(self) -> None:
        """Say that somebody still works here."""
        self.client.post(f"{self.path}/previews/{self.preview['id']}/renew")

    def end(self) -> None:
        """Take the preview's address and key back."""
        self.client.delete(f"{self.path}/previews/{self.preview['id']}")

    def _send(self, changes: Mapping[str, bytes | None]) -> None:
        body = {"changes": [_edit(path, content) for path, content in sorted(changes.items())]}
        answer = self.client.send(
            "PATCH", f"{self.path}/draft/files", json=body, headers={"If-Match": self.etag}
        )
        self.watch.sent(changes)
        self._remember(answer.headers["ETag"])

    def _reload(self, changed: tuple[str, ...], began: float, seen: float) -> Reload:
        sent = time.time()
        answer = self.client.post(f"{self.path}/previews/{self.preview['id']}/reload")
        done = time.time()
        waited = float(answer["loaded"]["waited_ms"])
        times = (seen - began, sent - seen, done - sent - waited / 1000, waited / 1000)
        names = ("seen", "sent", "recorded", "loaded")
        phases = {name: round(one * 1000, 1) for name, one in zip(names, times, strict=True)}
        # Resolving the dependencies is an edit too.
        self._remember(f'"d{answer["revision"]}"')
        return Reload(changed, (done - began) * 1000, answer, phases)

    def _remember(self, etag: str) -> None:
        self.etag = etag
        write_link(self.folder, Link(self.client.profile.url, self.function, etag))


def _edit(path: str, content: bytes | None) -> dict[str, str]:
    if content is None:
        return {"op": "delete", "path": path}
    return {"op": "put", "path": path, "content": base64.b64encode(content).decode()}
