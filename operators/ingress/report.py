"""Writes statuses to the API server, a few at once, so that the next change need not wait for them."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from operators.ingress.kube import NotServed, Unreachable

__all__ = ["Reporter", "StatusSink"]

log = logging.getLogger(__name__)

THREADS = 4


class StatusSink(Protocol):
    """Where statuses go."""

    def patch_status(self, path: str, status: dict[str, Any]) -> None:
        """Merge into an object's status."""
        ...


class Reporter:
    """For each Ingress at most one status waits: the newest. The controller repeats what did not arrive."""

    def __init__(self, sink: StatusSink) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._waiting: dict[str, dict[str, Any]] = {}
        self._running: set[str] = set()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="status")

    def report(self, key: str, status: dict[str, Any]) -> None:
        """Write a status soon."""
        with self._lock:
            self._waiting[key] = status
            if key in self._running:
                return
            self._running.add(key)
        self._pool.submit(self._write, key)

    def _write(self, key: str) -> None:
        while True:
            with self._lock:
                status = self._waiting.pop(key, None)
                if status is None:
                    self._running.discard(key)
                    return
            namespace, _, name = key.partition("/")
            path = f"/apis/networking.internal.knative.dev/v1alpha1/namespaces/{namespace}/ingresses/{name}"
            try:
                self._sink.patch_status(path, status)
            except NotServed:
                log.info("Ingress %s went before its status was written", key)
            except Unreachable as error:
                log.warning("the status of %s was not written: %s", key, error)
            except Exception:
                log.exception("the status of %s was not written", key)
