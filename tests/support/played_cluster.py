"""A cluster that is played: a fake API server, the real operator's looks, Knative's part by `FakeKnative`."""

from __future__ import annotations

import threading
from types import TracebackType

from control_plane.adapters.cluster.attesting import trust_entry
from control_plane.adapters.cluster.runtime import ClusterRuntime, Keys
from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.adapters.embedded.secrets import AesSealer
from control_plane.domain.desired import HostTarget
from operators.cluster import ClusterError
from tests.operators.stage import Stage
from tests.support.fake_api_server import FakeApiServer

__all__ = ["PlayedCluster", "image_of"]

_MASTER = bytes(range(32))


def image_of(target: HostTarget) -> str:
    """Return an image that is named by the version's digest."""
    return f"registry.example/{target.function_name}@{target.digest}"


class PlayedCluster:
    """Turns by itself while the `with` block runs."""

    def __init__(self) -> None:
        self.api = FakeApiServer()
        self.sealer = AesSealer(_MASTER)
        self.signer = Ed25519Signer(b"r" * 32)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._turn, daemon=True)

    def __enter__(self) -> PlayedCluster:
        self.api.__enter__()
        self.stage = Stage(self.api)
        _, entry = trust_entry(self.signer)
        self.stage.trust_entry(entry)
        self.cluster = self.api.client()
        self.runtime = ClusterRuntime(self.cluster, Keys(self.signer, self.sealer), image_of, patience_s=0)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(10)
        self.cluster.close()
        self.stage.cluster.close()
        self.api.__exit__(kind, error, trace)

    def _turn(self) -> None:
        """Look at everything again and again; what fails is looked at in the next turn."""
        while not self._stop.wait(0.01):
            for plural, namespace, name in list(self.api.objects):
                try:
                    if plural == "functions":
                        self.stage.look(name, namespace)
                    elif plural == "tombstones":
                        self.stage.tombstones.reconcile(name)
                except ClusterError:
                    continue
            self.stage.knative.step()
