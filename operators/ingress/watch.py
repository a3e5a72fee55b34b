"""Follows each kind of object: list, watch from there, list again when the server has forgotten."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from operators.ingress.kube import Event, Gone, NotServed, Unreachable
from operators.ingress.store import Kind, Store

__all__ = ["Follower", "Source"]

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0


class Source(Protocol):
    """Where lists and events come from."""

    def list_all(self, path: str, query: Mapping[str, str]) -> tuple[list[dict[str, Any]], str]:
        """Return all objects and the version to watch from."""
        ...

    def watch(self, path: str, query: Mapping[str, str], version: str) -> Iterator[Event]:
        """Yield events until the server ends the watch."""
        ...


class Follower:
    """Keeps one kind of object in the store up to date, for as long as the process lives."""

    def __init__(self, kind: Kind, source: Source, store: Store) -> None:
        self._kind = kind
        self._source = source
        self._store = store
        self._pause = FIRST_PAUSE
        self._quiet = False
        self._stopped = threading.Event()

    def start(self) -> None:
        """Follow in a thread of its own."""
        threading.Thread(target=self.run, name=f"watch {self._kind.name}", daemon=True).start()

    def stop(self) -> None:
        """End at the next event."""
        self._stopped.set()

    def run(self) -> None:
        """Follow until stopped."""
        while not self._stopped.is_set():
            try:
                self.follow()
            except Gone:
                # Nothing is lost: the next list says what is there now.
                self._stopped.wait(FIRST_PAUSE)
            except NotServed as error:
                # Normal until Knative is installed, so it is said once.
                if not self._quiet:
                    log.info("%s; trying again until it is", error)
                self._quiet = True
                self._stopped.wait(1.0)
            except Unreachable as error:
                log.warning("%s", error)
                self._wait_longer()
            except Exception:
                # Without this kind of object the rest would go on from what was true once.
                log.exception("the watch of %s failed", self._kind.name)
                self._wait_longer()

    def _wait_longer(self) -> None:
        self._stopped.wait(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def follow(self) -> None:
        """List once and follow watches from there. Raises Gone, Unreachable."""
        query = dict(self._kind.query)
        documents, version = self._source.list_all(self._kind.path, query)
        self._store.replace(self._kind, documents)
        self._quiet, self._pause = False, FIRST_PAUSE
        while not self._stopped.is_set():
            for event, document in self._source.watch(self._kind.path, query, version):
                version = str((document.get("metadata") or {}).get("resourceVersion") or version)
                if event != "BOOKMARK":
                    self._store.take(self._kind, event, document)
                if self._stopped.is_set():
                    return
