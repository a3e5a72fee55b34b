"""Brings one blob into a repository: found there, mounted from another, or sent, whole or in chunks.

A broken upload goes on where the registry says that it stands; when the
registry has forgotten it, it begins anew. The digest is checked by the
registry at the end and, by what it answers, here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from builders.errors import BuildError
from builders.registry.conversation import Answer, Conversation, Request
from builders.registry.failures import corrupt, refused, unreachable
from builders.registry.names import Repository
from builders.registry.sources import Blob

__all__ = ["CHUNK", "Upload"]

# What is larger goes in chunks of this size, so that a broken connection costs one of them.
CHUNK = 8 << 20
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,15})")
_RESTARTS = 3


class _Forgotten(Exception):
    """The registry does not know the upload any more."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Uploads into one repository."""

    conversation: Conversation
    repository: Repository
    scope: str
    chunk: int = CHUNK

    def put(self, blob: Blob, mount_from: str = "") -> str:
        """Bring the blob there, and return how: `mounted` or `sent`."""
        until = self.conversation.deadline()
        query = {"mount": blob.digest, "from": mount_from} if mount_from else {}
        for _ in range(_RESTARTS):
            answer = self._begin(query, until)
            if answer.status == 201:
                self._check(answer, blob)
                return "mounted"
            try:
                self._send(blob, answer, until)
            except _Forgotten:
                query = {}
                continue
            return "sent"
        raise unreachable(
            self.conversation.access.address, f"it forgot the upload of {blob.digest} {_RESTARTS} times"
        )

    def _begin(self, query: Mapping[str, str], until: float) -> Answer:
        target = f"{self.repository.path}/blobs/uploads/{'?' + urlencode(query) if query else ''}"
        request = self._request("POST", target, "to take a blob", headers={"Content-Length": "0"})
        return self.conversation.ask(request, frozenset({201, 202}), until)

    def _send(self, blob: Blob, began: Answer, until: float) -> None:
        place = self._place(began)
        least = began.headers.get("oci-chunk-min-length", "")
        chunk = max(self.chunk, int(least) if least.isascii() and least.isdigit() and len(least) < 12 else 0)
        start = 0
        failures = 0
        while blob.size - start > chunk:
            try:
                answer = self._patch(blob, place, start, chunk, until)
            except BuildError as error:
                failures += 1
                if (
                    error.code != "registry_unreachable"
                    or failures >= self.conversation.access.patience.attempts
                ):
                    raise
                place, start = self._status(place, blob, until)
                continue
            place, start = self._place(answer), start + chunk
        self._finish(blob, place, start, until)

    def _patch(self, blob: Blob, place: str, start: int, length: int, until: float) -> Answer:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{start}-{start + length - 1}",
        }
        request = Request(
            "PATCH", place, f"a chunk of {blob.digest}", self.scope, headers,
            body=lambda: blob.read(start, length), length=length, repeatable=False,
        )  # fmt: skip
        answer = self.conversation.attempt(request, until)
        if answer.status in (404, 416):
            raise _Forgotten
        if answer.status not in (201, 202, 204):
            raise refused(self.conversation.access.address, answer.status, request.action, answer.body)
        return answer

    def _status(self, place: str, blob: Blob, until: float) -> tuple[str, int]:
        """Ask how much of a broken upload has arrived."""
        answer = self.conversation.attempt(self._request("GET", place, "to say how far an upload is"), until)
        arrived = _RANGE.fullmatch(answer.headers.get("range", ""))
        if answer.status != 204 or arrived is None:
            raise _Forgotten
        # Nothing and one byte look the same: then nothing is believed.
        start = int(arrived[1]) + 1 if int(arrived[1]) else 0
        if start > blob.size:
            raise _Forgotten
        return (self._place(answer) if "location" in answer.headers else place), start

    def _finish(self, blob: Blob, place: str, start: int, until: float) -> None:
        length = blob.size - start
        request = Request(
            "PUT", f"{place}{'&' if '?' in place else '?'}{urlencode({'digest': blob.digest})}",
            f"the end of {blob.digest}", self.scope, {"Content-Type": "application/octet-stream"},
            body=lambda: blob.read(start, length), length=length, repeatable=False,
        )  # fmt: skip
        try:
            answer = self.conversation.attempt(request, until)
        except BuildError as error:
            # The end may have arrived although its answer did not.
            if error.code == "registry_unreachable" and self._is_there(blob, until):
                return
            if error.code == "registry_unreachable":
                raise _Forgotten from error
            raise
        if answer.status == 404:
            raise _Forgotten
        if answer.status == 400:
            raise corrupt(self.conversation.access.address, f"got other bytes than those of {blob.digest}")
        if answer.status not in (201, 204):
            raise refused(self.conversation.access.address, answer.status, request.action, answer.body)
        self._check(answer, blob)

    def _is_there(self, blob: Blob, until: float) -> bool:
        request = self._request("HEAD", f"{self.repository.path}/blobs/{blob.digest}", "to look for a blob")
        return self.conversation.attempt(request, until).status == 200

    def _check(self, answer: Answer, blob: Blob) -> None:
        said = answer.headers.get("docker-content-digest", blob.digest)
        if said != blob.digest:
            raise corrupt(self.conversation.access.address, f"stored {said[:80]!r} instead of {blob.digest}")

    def _place(self, answer: Answer) -> str:
        location = answer.headers.get("location", "")
        if not location:
            raise unreachable(self.conversation.access.address, "it named no place for an upload")
        return self.conversation.place(answer.url, location)

    def _request(
        self, method: str, target: str, action: str, headers: Mapping[str, str] | None = None
    ) -> Request:
        return Request(method, target, action, self.scope, headers or {})
