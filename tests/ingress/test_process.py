"""The controller and the launcher as processes, with an API server that lists, watches and forgets."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ingress.fake_api import ENDPOINTS, INGRESSES, SERVICES, FakeApi
from tests.ingress.harness import Backend, Load, World, a_world, alive, parent_of, until, worker_of
from tests.ingress.objects import document, path, rule, split

# The backends' own address.
LOOPBACK = "127.0.0.1"
# Loopback is refused, as a pod never has it; only here may calls go to this machine itself.
START = """
import operators.ingress.objects as objects
objects.usable_address = lambda text: True
from operators.ingress.__main__ import main
main()
"""


@dataclass
class Cluster:
    """A world that is driven by an API server alone."""

    api: FakeApi
    world: World
    kubeconfig: Path
    log: Path
    controller: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = self.world.settings
        with self.log.open("ab") as log:
            self.controller = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    START,
                    f"--data={settings.data_folder}",
                    f"--run={settings.run_folder}",
                    f"--kubeconfig={self.kubeconfig}",
                ],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        assert self.controller is not None
        self.controller.kill()
        self.controller.wait(10)

    def serve(self, name: str, *backends: Backend) -> None:
        """Put a Service with its addresses."""
        where = {"name": name, "namespace": "fn"}
        self.api.put(SERVICES, {"metadata": dict(where), "spec": {"ports": [{"name": "http", "port": 80}]}})
        subsets = [
            {"addresses": [{"ip": LOOPBACK}], "ports": [{"name": "http", "port": backend.port}]}
            for backend in backends
        ]
        self.api.put(ENDPOINTS, {"metadata": dict(where), "subsets": subsets})

    def ingress(self, *rules: dict[str, Any], **fields: Any) -> None:
        self.api.put(INGRESSES, document(*rules, **fields))

    def condition(self, key: str = "fn/hello") -> tuple[int, str, str]:
        """Return an Ingress's observed generation, readiness and reason."""
        status = self.api.get(INGRESSES, key).get("status", {})
        found = {each["type"]: each for each in status.get("conditions", [])}.get("Ready", {})
        return status.get("observedGeneration", 0), found.get("status", ""), found.get("reason", "")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A launcher, a controller and an empty API server."""
    folder = tmp_path_factory.mktemp("c")
    api = FakeApi()
    with contextlib.closing(api), a_world(folder) as world:
        made = Cluster(api, world, api.kubeconfig(folder), folder / "controller.log")
        world.start()
        made.start()
        try:
            yield made
        finally:
            if made.controller is not None:
                made.kill()


def test_an_ingress_is_ready_when_it_answers_and_its_status_says_where(cluster: Cluster) -> None:
    one = cluster.world.backends["one"] = Backend("one")
    cluster.serve("one", one)
    cluster.ingress(rule(path(split("one"))))
    until(lambda: cluster.condition() == (1, "True", ""))
    assert cluster.world.call().backend == "one"
    status = cluster.api.get(INGRESSES, "fn/hello")["status"]
    assert {each["type"] for each in status["conditions"]} == {
        "Ready",
        "NetworkConfigured",
        "LoadBalancerReady",
    }
    name = "gateway-internal.ingot-system.svc.cluster.local"
    assert status["privateLoadBalancer"] == {"ingress": [{"domainInternal": name}]}
    # Once said, it is said no more.
    said = len(cluster.api.statuses)
    cluster.serve("two", one)
    cluster.ingress(rule(path(split("two")), host="b.example.com"), name="b")
    until(lambda: cluster.condition("fn/b")[1] == "True")
    assert [key for key, _ in cluster.api.statuses[said:]] == ["fn/b"]


def test_an_ingress_of_another_class_is_left_alone(cluster: Cluster) -> None:
    cluster.serve("one", cluster.world.backends.setdefault("one", Backend("one")))
    cluster.ingress(rule(path(split("one")), host="other.example.com"), name="other", ingress_class="istio")
    cluster.ingress(rule(path(split("one"))))
    until(lambda: cluster.condition()[1] == "True")
    assert cluster.condition("fn/other") == (0, "", "")
    assert cluster.world.call(host="other.example.com").status == 404


def test_why_an_ingress_is_not_ready(cluster: Cluster) -> None:
    cluster.ingress(rule(path(split("missing"))))
    until(lambda: cluster.condition() == (1, "Unknown", "BackendNotFound"))
    broken = rule(path(split("one", 30)))
    cluster.ingress(broken, path(), name="broken")
    until(lambda: cluster.condition("fn/broken") == (1, "False", "NotSupported"))
    cluster.serve("missing", cluster.world.backends.setdefault("one", Backend("one")))
    until(lambda: cluster.condition() == (1, "True", ""))


def test_nothing_is_lost_when_the_server_forgets_or_does_not_know_the_resource_yet(cluster: Cluster) -> None:
    cluster.api.paths.discard(INGRESSES)
    cluster.serve("one", cluster.world.backends.setdefault("one", Backend("one")))
    cluster.ingress(rule(path(split("one"))))
    until(lambda: any(asked.startswith(INGRESSES) for asked in cluster.api.asked))
    cluster.api.paths.add(INGRESSES)
    until(lambda: cluster.condition()[1] == "True")
    cluster.api.forget()
    cluster.ingress(rule(path(split("one")), host="b.example.com"), name="b")
    until(lambda: cluster.condition("fn/b")[1] == "True")
    cluster.api.delete(INGRESSES, "fn/hello")
    until(lambda: cluster.world.call().status == 404)
    assert cluster.log.read_text().count("is not there") == 1


def test_calls_go_on_while_the_controller_is_killed_and_started(cluster: Cluster) -> None:
    one, two = (cluster.world.backends.setdefault(name, Backend(name)) for name in ("one", "two"))
    cluster.serve("one", one)
    cluster.serve("two", two)
    cluster.ingress(rule(path(split("one"))))
    until(lambda: cluster.condition()[1] == "True")
    with Load(cluster.world.public) as load:
        load.progress()
        cluster.kill()
        load.progress()
        cluster.ingress(rule(path(split("two"))), generation=2)
        cluster.start()
        until(lambda: cluster.condition() == (2, "True", ""))
        load.progress()
    assert not load.failures()
    assert load.answers["200 two"] > 0


def test_a_killed_proxy_is_started_again_and_callers_wait_for_it(cluster: Cluster) -> None:
    cluster.serve("one", cluster.world.backends.setdefault("one", Backend("one")))
    cluster.ingress(rule(path(split("one"))))
    until(lambda: cluster.condition()[1] == "True")
    worker = worker_of(cluster.world)
    # So that it counts as one that served.
    until(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) - _started(worker) > 1.2)
    os.kill(worker, signal.SIGKILL)
    # A new connection waits in the launcher's backlog, or reaches the new process.
    assert cluster.world.call().backend == "one"
    cluster.ingress(rule(path(split("one")), host="b.example.com"), name="b")
    until(lambda: cluster.condition("fn/b")[1] == "True")
    assert cluster.world.call(host="b.example.com").backend == "one"


def _started(process: int) -> float:
    """Return when a process started, in seconds since boot."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def test_a_killed_launcher_leaves_nothing_behind_that_keeps_the_next_from_listening(cluster: Cluster) -> None:
    cluster.serve("one", cluster.world.backends.setdefault("one", Backend("one")))
    cluster.ingress(rule(path(split("one"))))
    until(lambda: cluster.condition()[1] == "True")
    worker = worker_of(cluster.world)
    master = parent_of(worker)
    cluster.world.stop(signal.SIGKILL)
    until(lambda: not alive(master) or Path(f"/proc/{master}/stat").read_text().split()[2] == "Z")
    cluster.world.start()
    until(lambda: cluster.world.proxy.running)
    until(lambda: cluster.world.call().backend == "one")
