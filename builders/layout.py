"""A folder in OCI layout as a place for images: what `tar` and every tool for images can carry elsewhere.

The index lists what has a tag, and every referrer. It is replaced as a whole
under a lock, so that a kill leaves the old or the new one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from builders.oci import INDEX, canonical
from builders.registry.client import Stored
from builders.registry.failures import corrupt
from builders.registry.names import check_digest, check_tag, digest_of
from builders.registry.sources import Blob
from builders.storage import blob_path, locked, new_blob, put_blob, replace_file

__all__ = ["LayoutPlace"]

_NAME = "org.opencontainers.image.ref.name"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


@dataclass(frozen=True, slots=True)
class LayoutPlace:
    """One folder."""

    folder: Path

    @property
    def name(self) -> str:
        """Return the folder's own name: where it lies says nothing elsewhere."""
        return self.folder.name

    def put_blob(self, blob: Blob, mount_from: str = "") -> str:
        """Copy a blob there; returns `present` or `sent`."""
        if self._path(blob.digest).exists():
            return "present"
        with new_blob(self._blobs) as writer:
            for piece in blob.read(0, blob.size):
                writer.write(piece)
            if writer.digest != blob.digest:
                raise corrupt(str(self.folder), f"got other bytes than those of {blob.digest}")
        return "sent"

    def blob(self, digest: str, limit: int) -> bytes:
        """Return a small blob. Raises FileNotFoundError."""
        path = self._path(digest)
        if path.stat().st_size > limit:
            raise corrupt(str(self.folder), f"holds more than {limit} bytes for {digest}")
        content = path.read_bytes()
        if digest_of(content) != digest:
            raise corrupt(str(self.folder), f"holds other bytes for {digest}")
        return content

    def blob_to(self, digest: str, size: int, stream: IO[bytes]) -> None:
        """Write a blob to a stream. Raises FileNotFoundError."""
        with self._path(digest).open("rb") as source:
            shutil.copyfileobj(source, stream, 1 << 20)

    def manifest(self, name: str) -> Stored | None:
        """Return the manifest under a digest or tag; None when there is none."""
        digest = name if ":" in name else self._tagged().get(check_tag(name), "")
        if not digest or not self._path(digest).exists():
            return None
        content = self.blob(digest, 4 << 20)
        try:
            return Stored(json.loads(content)["mediaType"], content)
        except (ValueError, KeyError, TypeError) as error:
            raise corrupt(str(self.folder), f"holds no manifest under {name}") from error

    def put_manifest(self, name: str, stored: Stored) -> bool:
        """Store a manifest under its digest or a tag; referrers are found by the index."""
        put_blob(self._blobs, stored.content)
        entry: dict[str, Any] = {
            "mediaType": stored.media_type,
            "digest": stored.digest,
            "size": len(stored.content),
        }
        document = stored.document
        if "artifactType" in document:
            entry["artifactType"] = document["artifactType"]
        tag = "" if ":" in name else check_tag(name)
        if tag:
            entry["annotations"] = {_NAME: tag}
        with self._changing() as entries:
            kept = [
                one for one in entries if _tag_of(one) != tag or (not tag and one["digest"] != stored.digest)
            ]
            known = any(one["digest"] == stored.digest for one in kept)
            if tag or not known:
                kept.append(entry)
            entries[:] = kept
        return True

    def tags(self) -> Iterator[str]:
        """Yield every tag."""
        yield from sorted(self._tagged())

    def delete_manifest(self, name: str) -> bool:
        """Delete a manifest with its tags, or a tag alone; False when it is gone already."""
        with self._changing() as entries:
            if ":" in name:
                entries[:] = [one for one in entries if one["digest"] != name]
                return self.delete_blob(name)
            before = len(entries)
            entries[:] = [one for one in entries if _tag_of(one) != name]
            return len(entries) < before

    def delete_blob(self, digest: str) -> bool:
        """Delete a blob; False when it is gone already."""
        try:
            self._path(digest).unlink()
        except FileNotFoundError:
            return False
        return True

    def referrers(self, digest: str) -> list[dict[str, Any]] | None:
        """Return descriptors of what refers to a manifest."""
        found: dict[str, dict[str, Any]] = {}
        for entry in self._entries():
            stored = self.manifest(entry["digest"])
            subject = stored.document.get("subject") if stored is not None else None
            if isinstance(subject, dict) and subject.get("digest") == digest:
                found[entry["digest"]] = {
                    name: value for name, value in entry.items() if name != "annotations"
                }
        return list(found.values())

    def reference(self, digest: str) -> str:
        """Return the folder and the digest, as tools for images name it."""
        return f"oci:{self.folder}@{check_digest(digest)}"

    @property
    def _blobs(self) -> Path:
        return self.folder / "blobs"

    def _path(self, digest: str) -> Path:
        return blob_path(self._blobs, check_digest(digest))

    def _tagged(self) -> dict[str, str]:
        return {tag: one["digest"] for one in self._entries() if (tag := _tag_of(one))}

    def _entries(self) -> list[dict[str, Any]]:
        try:
            found = json.loads((self.folder / "index.json").read_bytes())["manifests"]
            return [one for one in found if check_digest(one["digest"])]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise corrupt(str(self.folder), "holds no readable index.json") from error

    def _changing(self) -> _Change:
        self.folder.mkdir(parents=True, exist_ok=True)
        return _Change(self.folder, self._entries)


class _Change:
    """The index's entries under its lock; they are written when the block ends without an error."""

    def __init__(self, folder: Path, read: Any) -> None:
        self._folder, self._read = folder, read
        self._lock = locked(folder / ".index.lock")
        self._entries: list[dict[str, Any]] = []

    def __enter__(self) -> list[dict[str, Any]]:
        self._lock.__enter__()
        self._entries = self._read()
        return self._entries

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        try:
            if kind is None:
                self._write()
        finally:
            self._lock.__exit__(kind, *rest)

    def _write(self) -> None:
        if not (self._folder / "oci-layout").exists():
            replace_file(self._folder / "oci-layout", _LAYOUT)
        entries = sorted(self._entries, key=lambda one: (str(one["digest"]), _tag_of(one)))
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        replace_file(self._folder / "index.json", canonical(index))


def _tag_of(entry: dict[str, Any]) -> str:
    annotations = entry.get("annotations")
    return str(annotations.get(_NAME, "")) if isinstance(annotations, dict) else ""
