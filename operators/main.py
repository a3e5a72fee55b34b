"""Starts one operator process: election, workers, resync and kopf's watches; and ends them."""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import kopf

from operators.cluster import Cluster, connect
from operators.function import make_registry
from operators.leadership import Election, Terms
from operators.reconcile import FunctionReconciler
from operators.settings import OperatorSettings, read_settings
from operators.tombstones import TombstoneReconciler
from operators.work_queue import WorkQueue
from operators.worker import Resync, Worker, threads

__all__ = ["main"]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the threads turn over."""

    election: Election
    worker: Worker
    resync: Resync
    queue: WorkQueue


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = read_settings()
    if settings.kubeconfig:
        # kopf's own watches read the same file.
        os.environ["KUBECONFIG"] = settings.kubeconfig
    kopf.configure(log_format=kopf.LogFormat.JSON)
    # One line for each event that was put into the queue would hide what matters.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    cluster = connect(settings.kubeconfig)
    parts = _make_parts(cluster, settings)
    stop = threading.Event()
    leading = threading.Thread(
        target=parts.election.run, args=(stop, parts.resync.everything), name="election"
    )
    leading.start()
    threads(settings.workers, parts.worker.run, stop)
    threads(1, parts.resync.run, stop)
    try:
        kopf.run(
            registry=make_registry(parts.queue, bool(settings.kubeconfig)),
            settings=_kopf_settings(),
            clusterwide=True,
            standalone=True,
            liveness_endpoint=f"http://{settings.health}/healthz" if settings.health else None,
        )
    finally:
        stop.set()
        parts.queue.close()
        # Giving the lease up lets another operator lead at once.
        leading.join(timeout=15)
        cluster.close()


class _Backoffs:
    """Seconds between attempts, without an end."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.2, 0.5, 1.0), itertools.repeat(2.0))


def _make_parts(cluster: Cluster, settings: OperatorSettings) -> _Parts:
    terms = Terms(
        settings.namespace, settings.identity, duration_s=settings.lease_s, renew_s=settings.lease_s / 5
    )
    election = Election(cluster, terms)
    queue = WorkQueue()
    functions = FunctionReconciler(
        cluster, settings.options, namespace=settings.namespace, fence=election.fence
    )
    tombstones = TombstoneReconciler(cluster, namespace=settings.namespace, fence=election.fence)
    return _Parts(
        election=election,
        worker=Worker(queue, functions, tombstones),
        resync=Resync(cluster, queue, namespace=settings.namespace, every_s=settings.resync_s),
        queue=queue,
    )


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # Conditions say what happened; events on the objects would say it twice.
    settings.posting.enabled = False
    # A watch that was cut off silently is begun anew after this time.
    settings.watching.server_timeout = 240
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    # For ever and soon: a cluster that comes back must not wait for a watch that has grown patient.
    settings.networking.error_backoffs = _Backoffs()
    return settings
