"""The controller as a process: `python -m operators.ingress`. HAProxy itself runs under `launch`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from pathlib import Path

from operators.ingress.controller import Controller
from operators.ingress.kube import KubeApi
from operators.ingress.proxy import IngressProxy
from operators.ingress.report import Reporter
from operators.ingress.resolver import Resolver
from operators.ingress.settings import IngressSettings
from operators.ingress.store import KINDS, Store
from operators.ingress.watch import Follower

__all__ = ["main"]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    defaults = IngressSettings(Path(), Path())
    parser = argparse.ArgumentParser(prog="python -m operators.ingress", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of configuration and maps")
    parser.add_argument("--run", type=Path, required=True, help="folder of sockets; a short path")
    parser.add_argument("--kubeconfig", type=Path, help="default: the pod's service account")
    parser.add_argument("--ingress-class", default=defaults.ingress_class, help="the annotation's value")
    parser.add_argument("--cluster-domain", default=defaults.cluster_domain)
    for name, default in (("public", defaults.public_service), ("private", defaults.private_service)):
        parser.add_argument(f"--{name}-service", default=default, help="NAME.NAMESPACE of its Service")
    parser.add_argument("--log-failed", action="store_true", help="log only calls that failed")
    parser.add_argument("--worker-uid", type=int, help="whom HAProxy becomes where it is started as root")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run until told to stop; HAProxy goes on with what it has."""
    given = _parse(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    # It warns about each connection that a restarting API server closes.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    settings = IngressSettings(
        run_folder=given.run,
        data_folder=given.data,
        ingress_class=given.ingress_class,
        public_service=given.public_service,
        private_service=given.private_service,
        cluster_domain=given.cluster_domain,
        log_all=not given.log_failed,
        worker_uid=given.worker_uid,
    )
    api, store = KubeApi(given.kubeconfig), Store()
    proxy = IngressProxy(settings, time.monotonic)
    controller = Controller(settings, store, proxy, Reporter(api), Resolver(store.changed.set))
    stopped = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        stopped.set()
        store.changed.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for kind in KINDS:
        Follower(kind, api, store).start()
    controller.run(stopped)


if __name__ == "__main__":
    main()
