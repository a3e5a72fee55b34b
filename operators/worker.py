"""Takes keys from the queue and looks at what they name; decides what trouble means for the next look."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from operators.cluster import Cluster, ClusterError, Outdated, Unreachable
from operators.kinds import CONFIG_MAP, FUNCTION, TOMBSTONE
from operators.leadership import NotLeading
from operators.reconcile import TRUST, FunctionReconciler
from operators.tombstones import TombstoneReconciler
from operators.work_queue import Key, WorkQueue

__all__ = ["FUNCTIONS", "TOMBSTONES", "Resync", "Worker"]

FUNCTIONS: Final = "function"
TOMBSTONES: Final = "tombstone"

_LOG: Final = logging.getLogger(__name__)


class Worker:
    """Works until the queue is closed. Several may share one queue."""

    def __init__(
        self, queue: WorkQueue, functions: FunctionReconciler, tombstones: TombstoneReconciler
    ) -> None:
        self._queue = queue
        self._functions = functions
        self._tombstones = tombstones

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        while not stop.is_set():
            self.step(1.0)

    def step(self, wait_s: float) -> bool:
        """Look at one thing; returns whether there was one."""
        key = self._queue.take(wait_s)
        if key is None:
            return False
        try:
            self._look(key)
        except NotLeading:
            # Whoever leads looks at everything when its term begins.
            self._queue.done(key)
        except Outdated as error:
            _LOG.info("%s: changed meanwhile, looking again: %s", "/".join(key), error)
            self._queue.failed(key)
        except ClusterError as error:
            level = logging.INFO if isinstance(error, Unreachable) else logging.WARNING
            _LOG.log(level, "%s: again in %.1f s: %s", "/".join(key), self._queue.failed(key), error)
        except Exception:  # noqa: BLE001 - one odd object must not end the worker for all others
            _LOG.exception("%s: again in %.1f s", "/".join(key), self._queue.failed(key))
        else:
            self._queue.done(key)
        return True

    def _look(self, key: Key) -> None:
        kind, namespace, name = key
        if kind == FUNCTIONS:
            self._functions.reconcile(namespace, name)
            return
        concerned = self._tombstones.reconcile(name)
        if concerned is not None:
            self._queue.add((FUNCTIONS, *concerned))


class Resync:
    """Has everything looked at from time to time, when the trusted keys change, and what is not done sooner.

    Watches tell of changes at once; this is for what a watch did not tell.
    """

    def __init__(self, cluster: Cluster, queue: WorkQueue, *, namespace: str, every_s: float) -> None:
        self._cluster = cluster
        self._queue = queue
        self._namespace = namespace
        self._every_s = every_s
        self._trust = ""
        self._since_s = 0.0

    def run(self, stop: threading.Event, look_s: float = 10.0) -> None:
        """Look until told to stop."""
        while not stop.wait(look_s):
            self._since_s += look_s
            try:
                self.step()
            except ClusterError as error:
                _LOG.info("cannot look at everything: %s", error)

    def step(self) -> None:
        """Add everything when it is time or trust changed since the last step, else what is not done."""
        body = self._cluster.get(CONFIG_MAP, self._namespace, TRUST)
        trust = str((body or {}).get("metadata", {}).get("resourceVersion", ""))
        if trust != self._trust or self._since_s >= self._every_s:
            self.everything()
            self._trust, self._since_s = trust, 0.0
            return
        for body in self._cluster.list(FUNCTION):
            if not _is_done(body):
                self._add(body)

    def everything(self) -> None:
        """Add every Tombstone, then every Function."""
        for body in self._cluster.list(TOMBSTONE):
            self._queue.add((TOMBSTONES, "", str(body["metadata"]["name"])))
        for body in self._cluster.list(FUNCTION):
            self._add(body)

    def _add(self, body: Mapping[str, Any]) -> None:
        meta = body["metadata"]
        self._queue.add((FUNCTIONS, str(meta["namespace"]), str(meta["name"])))


def _is_done(body: Mapping[str, Any]) -> bool:
    """Say whether the operator has seen this generation and waits for nothing."""
    status = body.get("status") or {}
    ready = [one["status"] for one in status.get("conditions", ()) if one["type"] == "Ready"]
    seen = status.get("observedGeneration") == body["metadata"].get("generation")
    return seen and ready in (["True"], ["False"])


def threads(
    count: int, run: Callable[[threading.Event], None], stop: threading.Event
) -> list[threading.Thread]:
    """Start this many threads of one loop."""
    started = [threading.Thread(target=run, args=(stop,), daemon=True) for _ in range(count)]
    for thread in started:
        thread.start()
    return started
