"""A small Knative Broker over HTTP: takes CloudEvents in binary mode, and brings them where Triggers say.

Triggers are those of a fake API server. It can lose events, and bring them twice, as real ones do.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3

from tests.support.fake_api_server import FakeApiServer

__all__ = ["FakeBroker"]

_NAMESPACE, _NAME = "ingot-system", "default"


class FakeBroker:
    """Use it as a context manager."""

    def __init__(self, api: FakeApiServer) -> None:
        self._api = api
        # How many of the next events it takes and forgets.
        self.lose = 0
        # Every event is brought so often.
        self.copies = 1
        # What consumers answered.
        self.answers: list[int] = []
        self._pool = urllib3.PoolManager()
        handler = type("Handler", (_Handler,), {"broker": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True

    def __enter__(self) -> FakeBroker:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        """Where the Broker `ingot-system/default` takes events."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{_NAMESPACE}/{_NAME}"

    def bring(self, headers: dict[str, str], body: bytes) -> None:
        """Give an event to the subscribers of all Triggers that let it pass."""
        if self.lose:
            self.lose -= 1
            return
        for (plural, namespace, _), trigger in list(self._api.objects.items()):
            spec = trigger["spec"]
            if (plural, namespace, spec.get("broker")) != ("triggers", _NAMESPACE, _NAME):
                continue
            if not all(_fits(one, headers) for one in spec["filters"]):
                continue
            for _ in range(self.copies):
                self.answers.append(self._post(spec["subscriber"]["uri"], headers, body))

    def _post(self, uri: str, headers: dict[str, str], body: bytes) -> int:
        try:
            answer = self._pool.request("POST", uri, body=body, headers=headers, timeout=5, retries=False)
        except urllib3.exceptions.HTTPError:
            return 0
        # A broker would take anything else for a reply.
        return answer.status if answer.data == b"" else -1


def _fits(wanted: dict[str, Any], headers: dict[str, str]) -> bool:
    if "any" in wanted:
        return any(_fits(one, headers) for one in wanted["any"])
    return all(headers.get(f"ce-{name}") == value for name, value in wanted["exact"].items())


class _Handler(BaseHTTPRequestHandler):
    broker: FakeBroker

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        kept = {
            name: value for name, value in headers.items() if name.startswith("ce-") or name == "content-type"
        }
        good = self.path == f"/{_NAMESPACE}/{_NAME}" and kept.get("ce-specversion") == "1.0"
        if good:
            # Before the answer, so that a test need not wait; a real one brings it later.
            self.broker.bring(kept, body)
        self.send_response(202 if good else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
