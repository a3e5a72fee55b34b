"""What is known of the cluster: filled by watches, read as a whole by the controller.

An object that was read again with the same content stays the same object, so
that whoever kept something made of it sees that nothing changed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from operators.ingress.kingress import read_ingress
from operators.ingress.objects import Watched, read_endpoints, read_secret, read_service
from operators.ingress.status import Reported, read_reported

__all__ = ["KINDS", "Kind", "Snapshot", "Store"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """A watched resource: where it is listed and what is read of it."""

    name: str
    path: str
    read: Callable[[Mapping[str, Any]], Any]
    # Restricts what the server sends.
    query: tuple[tuple[str, str], ...] = ()


INGRESSES = Kind("ingresses", "/apis/networking.internal.knative.dev/v1alpha1/ingresses", read_ingress)

KINDS = (
    Kind("services", "/api/v1/services", read_service),
    # Knative writes the addresses of activator and pods here; the slices mirror them later.
    Kind("endpoints", "/api/v1/endpoints", read_endpoints),
    Kind("secrets", "/api/v1/secrets", read_secret, (("fieldSelector", "type=kubernetes.io/tls"),)),
    INGRESSES,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that was known at one moment."""

    watched: Watched
    reported: Mapping[str, Reported]


def _key(document: Mapping[str, Any]) -> str:
    metadata = document["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"


class Store:
    """Thread-safe; `changed` is set whenever the controller should look."""

    def __init__(self) -> None:
        self.changed = threading.Event()
        self._lock = threading.Lock()
        self._objects: dict[str, dict[str, Any]] = {kind.name: {} for kind in KINDS}
        self._reported: dict[str, Reported] = {}
        self._listed: set[str] = set()

    @property
    def complete(self) -> bool:
        """Whether every kind was listed once; before that, nothing may be taken away."""
        with self._lock:
            return len(self._listed) == len(KINDS)

    def replace(self, kind: Kind, documents: Iterable[Mapping[str, Any]]) -> None:
        """Take a whole list."""
        read = [entry for document in documents if (entry := self._read(kind, document)) is not None]
        with self._lock:
            before = self._objects[kind.name]
            same = {key: before[key] if before.get(key) == value else value for key, value, _ in read}
            self._objects[kind.name] = same
            self._listed.add(kind.name)
            if kind is INGRESSES:
                self._reported = {key: reported for key, _, reported in read if reported is not None}
        self.changed.set()

    def take(self, kind: Kind, event: str, document: Mapping[str, Any]) -> None:
        """Take one event."""
        if event == "DELETED":
            with self._lock:
                self._objects[kind.name].pop(_key(document), None)
                if kind is INGRESSES:
                    self._reported.pop(_key(document), None)
            self.changed.set()
            return
        entry = self._read(kind, document)
        if entry is None:
            return
        key, value, reported = entry
        with self._lock:
            differs = self._objects[kind.name].get(key) != value
            if differs:
                self._objects[kind.name][key] = value
            if reported is not None:
                self._reported[key] = reported
        if differs:
            self.changed.set()

    def _read(self, kind: Kind, document: Mapping[str, Any]) -> tuple[str, Any, Reported | None] | None:
        try:
            reported = read_reported(document) if kind is INGRESSES else None
            return _key(document), kind.read(document), reported
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # One object of a shape that the server should not hold must not stop the others.
            log.warning("an object of %s cannot be read: %r", kind.name, error)
            return None

    def snapshot(self, resolved: Mapping[str, tuple[str, ...]]) -> Snapshot:
        """Return all that is known now; `resolved` are names outside the cluster."""
        with self._lock:
            kinds = {name: dict(objects) for name, objects in self._objects.items()}
            return Snapshot(Watched(**kinds, resolved=resolved), dict(self._reported))
