"""An OpenTelemetry collector of the tests' own: takes OTLP over HTTP on loopback and keeps the spans."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["Collector", "Received", "collector"]


@dataclass(frozen=True, slots=True)
class Received:
    """One span as the collector decoded it."""

    service: str
    name: str
    trace: str
    span: str
    parent: str
    start_ns: int
    end_ns: int
    kind: int
    failed: bool
    attributes: dict[str, Any]


@dataclass
class Collector:
    """What arrived; `status` is what it answers, while `held` is cleared it answers nothing."""

    url: str = ""
    status: int = 200
    held: threading.Event = field(default_factory=threading.Event)
    spans: list[Received] = field(default_factory=list)
    requests: int = 0

    def of(self, trace: str) -> dict[str, Received]:
        """Return the spans of one trace by `service name`."""
        return {f"{one.service} {one.name}": one for one in list(self.spans) if one.trace == trace}

    def take(self, body: bytes) -> None:
        """Decode one export."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {one.key: one.value.string_value for one in resource.resource.attributes}[
                "service.name"
            ]
            for scope in resource.scope_spans:
                self.spans += [_received(service, span) for span in scope.spans]


def _received(service: str, span: Any) -> Received:
    attributes = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
    return Received(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.kind,
        span.status.code == 2,
        attributes,
    )


@contextlib.contextmanager
def collector() -> Iterator[Collector]:
    """Yield a collector that answers until the block ends."""
    found = Collector()
    found.held.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.requests += 1
            found.held.wait(60)
            if found.status == 200 and self.path == "/v1/traces":
                found.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            with contextlib.suppress(OSError):
                self.send_response(found.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.held.set()
        server.shutdown()
        server.server_close()
        thread.join()
