"""One registry as the builders use it: blobs, manifests, tags, referrers.

Every content is checked against its digest here, whatever the registry says.
What a manifest means may not be known here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import quote, urljoin, urlsplit

from builders.registry.conversation import Answer, Conversation, Request
from builders.registry.failures import corrupt, keeps_all, refused
from builders.registry.names import Repository, check_digest, check_tag, digest_of
from builders.registry.sources import Blob
from builders.registry.upload import CHUNK, Upload

__all__ = ["MANIFEST_TYPES", "Registry", "Stored"]

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
_MANIFEST_BYTES = 4 << 20
_PAGES = 1_000


@dataclass(frozen=True, slots=True)
class Stored:
    """A manifest as it lies in the registry."""

    media_type: str
    content: bytes

    @property
    def digest(self) -> str:
        """Return the digest of its bytes."""
        return digest_of(self.content)

    @property
    def document(self) -> dict[str, Any]:
        """Return it, read; an empty one when it is no object."""
        found = json.loads(self.content)
        return found if isinstance(found, dict) else {}


class Registry:
    """What can be done in the repositories of one registry."""

    def __init__(self, conversation: Conversation, *, chunk: int = CHUNK) -> None:
        self._talk = conversation
        self._chunk = chunk
        self.address = conversation.access.address

    def repository(self, name: str) -> Repository:
        """Return a repository of this registry."""
        return Repository(self.address, name)

    def has_blob(self, repository: Repository, digest: str) -> bool:
        """Say whether the repository holds a blob."""
        request = self._read(repository, "HEAD", f"blobs/{check_digest(digest)}", "to look for a blob")
        return self._talk.ask(request, frozenset({200, 404})).status == 200

    def put_blob(self, repository: Repository, blob: Blob, mount_from: str = "") -> str:
        """Bring a blob there; returns `present`, `mounted` or `sent`."""
        if self.has_blob(repository, blob.digest):
            return "present"
        scope = _scope(repository, "pull,push")
        if mount_from:
            scope += f" repository:{mount_from}:pull"
        return Upload(self._talk, repository, scope, self._chunk).put(blob, mount_from)

    def blob(self, repository: Repository, digest: str, limit: int) -> bytes:
        """Return a small blob, checked. Raises FileNotFoundError."""
        parts: list[bytes] = []

        def sink() -> Callable[[bytes], object]:
            parts.clear()
            return parts.append

        self._receive(repository, digest, limit, sink)
        return b"".join(parts)

    def blob_to(self, repository: Repository, digest: str, size: int, stream: IO[bytes]) -> None:
        """Write a blob to a stream, checked; what was written before a failure stays there."""

        def sink() -> Callable[[bytes], object]:
            stream.seek(0)
            stream.truncate()
            return stream.write

        self._receive(repository, digest, size, sink)

    def _receive(
        self, repository: Repository, digest: str, limit: int, sink: Callable[[], Callable[[bytes], object]]
    ) -> None:
        counted = _Counted(self.address, limit, sink)
        request = self._read(
            repository, "GET", f"blobs/{check_digest(digest)}", f"to give {digest}", sink=counted.begin
        )
        status = self._talk.ask(request, frozenset({200, 404})).status
        if status == 404:
            raise FileNotFoundError(f"{repository.name} holds no blob {digest}")
        if counted.digest != digest:
            raise corrupt(self.address, f"returned other bytes for {digest}")

    def manifest(self, repository: Repository, name: str) -> Stored | None:
        """Return the manifest under a digest or tag, checked; None when there is none."""
        accept = {"Accept": ", ".join(MANIFEST_TYPES)}
        target = f"manifests/{_reference(name)}"
        answer = self._talk.ask(
            self._read(repository, "GET", target, f"the manifest {name}", headers=accept),
            frozenset({200, 404}),
        )
        if answer.status == 404:
            return None
        found = Stored(answer.headers.get("content-type", "").partition(";")[0].strip(), answer.body)
        said = answer.headers.get("docker-content-digest", found.digest)
        if said != found.digest or (name.startswith("sha256:") and name != found.digest):
            raise corrupt(self.address, f"returned another manifest than {name}")
        _check_object(self.address, name, answer)
        return found

    def has_manifest(self, repository: Repository, name: str) -> bool:
        """Say whether a digest or tag leads to a manifest."""
        accept = {"Accept": ", ".join(MANIFEST_TYPES)}
        request = self._read(
            repository, "HEAD", f"manifests/{_reference(name)}", f"the manifest {name}", headers=accept
        )
        return self._talk.ask(request, frozenset({200, 404})).status == 200

    def put_manifest(self, repository: Repository, name: str, stored: Stored) -> bool:
        """Store a manifest under its digest or a tag; says whether the registry keeps referrers itself."""
        request = self._write(
            repository, "PUT", f"manifests/{_reference(name)}", f"the manifest {name}", stored
        )
        answer = self._talk.ask(request, frozenset({201}))
        said = answer.headers.get("docker-content-digest", stored.digest)
        if said != stored.digest:
            raise corrupt(self.address, f"stored {said[:80]!r} instead of the manifest {stored.digest}")
        return "oci-subject" in answer.headers

    def delete_manifest(self, repository: Repository, name: str) -> bool:
        """Delete what a digest leads to, or a tag alone; False when it is gone already."""
        return self._delete(repository, f"manifests/{_reference(name)}", f"to delete the manifest {name}")

    def delete_blob(self, repository: Repository, digest: str) -> bool:
        """Delete a blob from a repository; False when it is gone already."""
        return self._delete(repository, f"blobs/{check_digest(digest)}", f"to delete the blob {digest}")

    def tags(self, repository: Repository) -> Iterator[str]:
        """Yield every tag; none when there is no such repository."""
        target = f"{repository.path}/tags/list?n=500"
        for _ in range(_PAGES):
            request = Request("GET", target, "to list tags", _scope(repository, "pull"))
            answer = self._talk.ask(request, frozenset({200, 404}))
            if answer.status == 404:
                return
            yield from _tags(self.address, answer)
            following = _next_page(answer)
            if not following:
                return
            target = following
        raise corrupt(self.address, f"lists more than {_PAGES} pages of tags")

    def referrers(self, repository: Repository, digest: str) -> list[dict[str, Any]] | None:
        """Return descriptors of what refers to a manifest; None when the registry keeps no such list."""
        request = self._read(repository, "GET", f"referrers/{check_digest(digest)}", "to list referrers")
        answer = self._talk.attempt(request)
        if answer.status != 200:
            return None
        return _descriptors(answer.body)

    def _delete(self, repository: Repository, target: str, action: str) -> bool:
        request = Request(
            "DELETE", f"{repository.path}/{target}", action, _scope(repository, "delete,pull,push")
        )
        answer = self._talk.attempt(request)
        if answer.status == 405:
            raise keeps_all(self.address)
        if answer.status not in (200, 202, 204, 404):
            raise refused(self.address, answer.status, action, answer.body)
        return answer.status != 404

    def _read(
        self,
        repository: Repository,
        method: str,
        target: str,
        action: str,
        *,
        headers: dict[str, str] | None = None,
        sink: Callable[[], Callable[[bytes], object]] | None = None,
    ) -> Request:
        own = {"Accept-Encoding": "identity"} | (headers or {})
        path = f"{repository.path}/{target}"
        return Request(method, path, action, _scope(repository, "pull"), own, sink=sink)

    def _write(
        self, repository: Repository, method: str, target: str, action: str, stored: Stored
    ) -> Request:
        return Request(
            method,
            f"{repository.path}/{target}",
            action,
            _scope(repository, "pull,push"),
            {"Content-Type": stored.media_type},
            body=lambda: iter((stored.content,)),
            length=len(stored.content),
        )


class _Counted:
    """Hashes and bounds what is received, anew for each attempt."""

    def __init__(self, address: str, limit: int, sink: Callable[[], Callable[[bytes], object]]) -> None:
        self._address, self._limit, self._sink = address, limit, sink
        self._hash = hashlib.sha256()

    def begin(self) -> Callable[[bytes], object]:
        """Return what takes the pieces of one attempt."""
        write = self._sink()
        hashed = self._hash = hashlib.sha256()
        size = 0

        def take(piece: bytes) -> None:
            nonlocal size
            size += len(piece)
            if size > self._limit:
                raise corrupt(
                    self._address, f"returned more than the {self._limit} bytes that were asked for"
                )
            hashed.update(piece)
            write(piece)

        return take

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _scope(repository: Repository, actions: str) -> str:
    return f"repository:{repository.name}:{actions}"


def _reference(name: str) -> str:
    return check_digest(name) if ":" in name else check_tag(name)


def _check_object(address: str, name: str, answer: Answer) -> None:
    try:
        fine = len(answer.body) <= _MANIFEST_BYTES and isinstance(json.loads(answer.body), dict)
    except (ValueError, RecursionError):
        fine = False
    if not fine:
        raise corrupt(address, f"returned no manifest for {name}")


def _tags(address: str, answer: Answer) -> list[str]:
    try:
        found = json.loads(answer.body)["tags"] or []
        return [check_tag(tag) for tag in found]
    except (ValueError, KeyError, TypeError) as error:
        raise corrupt(address, "returned no list of tags") from error


def _next_page(answer: Answer) -> str:
    """Return the path of the next page; only a path is taken from the header, never another host."""
    link = answer.headers.get("link", "")
    target, _, rest = link.partition(";")
    if 'rel="next"' not in rest.replace(" ", "") and "rel=next" not in rest:
        return ""
    try:
        parts = urlsplit(urljoin(answer.url, target.strip().removeprefix("<").removesuffix(">")))
    except ValueError:
        return ""
    return f"{quote(parts.path, safe='/')}?{parts.query}" if parts.path.startswith("/v2/") else ""


def _descriptors(body: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(body)["manifests"]
        return [one for one in found if isinstance(one, dict) and isinstance(one.get("digest"), str)]
    except (ValueError, KeyError, TypeError):
        return []
