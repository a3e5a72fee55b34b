"""What every Telemetry does: the host's own, and a real Prometheus."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.cluster.prometheus import PrometheusTelemetry
from control_plane.adapters.embedded.clock import SystemClock
from control_plane.adapters.embedded.host_telemetry import HostTelemetry
from control_plane.errors import Unavailable
from control_plane.ports import Telemetry
from tests.support.function_host import until
from tests.support.prometheus import running_prometheus

_VERSIONS = {"r1": "sha256:aa", "r2": "sha256:bb"}
_KEY = ("org_1", "prj_1", "fn_1")
_FUNCTION = {
    "metadata": {"name": "orders", "namespace": "prj-1"},
    "spec": {
        "organization": "org_1",
        "project": "prj_1",
        "function": "fn_1",
        "versions": [{"name": name, "digest": digest} for name, digest in _VERSIONS.items()],
    },
    "status": {"versions": [{"name": name, "revision": f"orders-{name}"} for name in _VERSIONS]},
}


@dataclass
class Place:
    """Where functions run: how many instances, and who is asked."""

    telemetry: Telemetry
    instances: dict[str, int] = field(default_factory=dict)
    stop: Callable[[], None] = lambda: None

    def seen(self) -> Mapping[tuple[str, str, str, str], int]:
        return self.telemetry.read().instances


class _Answers(BaseHTTPRequestHandler):
    text: Callable[[], str]

    def do_GET(self) -> None:
        body = type(self).text().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def answering(text: Callable[[], str]) -> Iterator[str]:
    """Yield the address of a server that says the same to everybody."""
    handler = type("Answers", (_Answers,), {"text": staticmethod(text)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def host_place() -> Place:
    instances: dict[str, int] = {}
    up = [True]

    def status() -> Mapping[str, Any]:
        if not up:
            raise Unavailable("The function host does not answer.")
        organization, project, function = _KEY
        who = {"organization": organization, "project": project, "function": function}
        return {
            "targets": {
                name: {**who, "version": digest, "instances": [{}] * instances.get(name, 0)}
                for name, digest in _VERSIONS.items()
            }
        }

    return Place(HostTelemetry(status), instances, up.clear)


def exposed(instances: Mapping[str, int]) -> str:
    """Return what the autoscaler and the activator expose, a foreign revision's too."""
    lines = []
    for name in (*_VERSIONS, "foreign"):
        labels = f'{{k8s_namespace_name="prj-1",kn_revision_name="orders-{name}",kn_service_name="orders"}}'
        lines.append(f"kn_revision_pods_count{labels} {instances.get(name, 0)}")
        lines.append(f"kn_revision_request_queued{labels} {2 * instances.get(name, 0)}")
    return "\n".join(lines) + "\n"


@pytest.fixture(params=["host", "prometheus"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "host":
        yield host_place()
        return
    instances: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(answering(lambda: exposed(instances)))
        try:
            prometheus = stack.enter_context(contextlib.ExitStack())
            address = prometheus.enter_context(running_prometheus(tmp_path, [target]))
        except FileNotFoundError as reason:
            pytest.skip(str(reason))
        yield Place(
            PrometheusTelemetry(address, lambda: [_FUNCTION], SystemClock()), instances, prometheus.close
        )


def test_instances_are_told_by_version_and_only_those_that_run(place: Place) -> None:
    assert place.seen() == {}
    place.instances |= {"r1": 2, "foreign": 7}
    until(lambda: place.seen() == {(*_KEY, "sha256:aa"): 2}, 30)
    place.instances |= {"r1": 0, "r2": 1}
    until(lambda: place.seen() == {(*_KEY, "sha256:bb"): 1}, 60)


def test_who_does_not_answer_says_so(place: Place) -> None:
    place.stop()
    with pytest.raises(Unavailable):
        place.telemetry.read()


def test_calls_that_wait_in_the_activator_are_told(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(answering(lambda: exposed({"r1": 2, "r2": 1, "foreign": 9})))
        try:
            address = stack.enter_context(running_prometheus(tmp_path, [target]))
        except FileNotFoundError as reason:
            pytest.skip(str(reason))
        telemetry = PrometheusTelemetry(address, lambda: [_FUNCTION], SystemClock())
        until(lambda: telemetry.read().values == {"queued": 6.0}, 30)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "<html>",
        '{"data": {"result": {}}}',
        '{"data": {"result": [{"metric": {}, "values": []}]}}',
        '{"data": {"result": [{"metric": {"k8s_namespace_name": 1, "kn_revision_name": 2}, "values": 3}]}}',
        '{"data": {"result": ["x"]}}',
    ],
)
def test_a_prometheus_that_is_something_else_harms_nobody(text: str) -> None:
    with answering(lambda: text) as address:
        telemetry = PrometheusTelemetry(f"http://{address}", lambda: [_FUNCTION], SystemClock())
        with pytest.raises(Unavailable):
            telemetry.read()
