"""An API server in one process: lists in pages, watches, forgetting, status patches."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

INGRESSES = "/apis/networking.internal.knative.dev/v1alpha1/ingresses"
SERVICES, ENDPOINTS, SECRETS = "/api/v1/services", "/api/v1/endpoints", "/api/v1/secrets"


class FakeApi:
    """Objects by resource and key, with every change as an event."""

    def __init__(self) -> None:
        self.paths = {SERVICES, ENDPOINTS, SECRETS, INGRESSES}
        self.asked: list[str] = []
        self.statuses: list[tuple[str, dict[str, Any]]] = []
        # Versions before this one are forgotten.
        self.oldest = 0
        self._version = 1
        self._objects: dict[str, dict[str, dict[str, Any]]] = {}
        self._events: list[tuple[int, str, str, dict[str, Any]]] = []
        self._changed = threading.Condition()
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._closed = False
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig that leads here."""
        path = folder / "kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.address}}],
            "users": [{"name": "u", "user": {"token": "t0ken"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(json.dumps(document))
        return path

    def put(self, path: str, document: dict[str, Any]) -> None:
        """Create or change an object."""
        with self._changed:
            self._version += 1
            document["metadata"]["resourceVersion"] = str(self._version)
            key = f"{document['metadata']['namespace']}/{document['metadata']['name']}"
            held = self._objects.setdefault(path, {})
            kind = "MODIFIED" if key in held else "ADDED"
            held[key] = document
            # A watch may still be writing the object that it was.
            self._events.append((self._version, path, kind, json.loads(json.dumps(document))))
            self._changed.notify_all()

    def delete(self, path: str, key: str) -> None:
        with self._changed:
            self._version += 1
            gone = self._objects[path].pop(key)
            self._events.append((self._version, path, "DELETED", gone))
            self._changed.notify_all()

    def forget(self) -> None:
        """End all watches and know nothing of versions before now."""
        with self._changed:
            self._version += 1
            self.oldest = self._version
            self._changed.notify_all()

    def get(self, path: str, key: str) -> dict[str, Any]:
        with self._changed:
            return dict(self._objects[path][key])

    def listed(self, path: str) -> tuple[list[dict[str, Any]], int]:
        with self._changed:
            return list(self._objects.get(path, {}).values()), self._version

    def follow(self, path: str, version: int, write: Callable[[dict[str, Any]], None]) -> None:
        """Write events until the watch's version is forgotten or the server closes."""
        while not self._closed:
            with self._changed:
                if version < self.oldest:
                    write({"type": "ERROR", "object": {"code": 410, "reason": "Expired"}})
                    return
                new = [each for each in self._events if each[0] > version and each[1] == path]
                if not new:
                    version = max(version, self._version)
                    self._changed.wait(0.2)
                    continue
            for number, _, kind, document in new:
                write({"type": kind, "object": document})
                version = number

    def patched(self, path: str, status: dict[str, Any]) -> bool:
        """Merge a status; says whether the object is there."""
        namespace, name = path.split("/")[5], path.split("/")[7]
        key = f"{namespace}/{name}"
        with self._changed:
            held = self._objects.get(INGRESSES, {}).get(key)
        if held is None:
            return False
        self.statuses.append((key, status))
        self.put(INGRESSES, {**held, "status": {**held.get("status", {}), **status}})
        return True

    def close(self) -> None:
        self._closed = True
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    api: FakeApi

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.api.asked.append(self.path)
        if self.headers["Authorization"] != "Bearer t0ken":
            self._answer(401, {"message": "who are you?"})
        elif parts.path not in self.api.paths:
            self._plain(404, b"404 page not found\n")
        elif "watch" in query:
            self._watch(parts.path, int(query["resourceVersion"]))
        else:
            self._list(parts.path, int(query.get("continue", "0")), int(query["limit"]))

    def _list(self, path: str, start: int, limit: int) -> None:
        items, version = self.api.listed(path)
        metadata: dict[str, str] = {"resourceVersion": str(version)}
        if start + limit < len(items):
            metadata["continue"] = str(start + limit)
        self._answer(200, {"items": items[start : start + limit], "metadata": metadata})

    def _watch(self, path: str, version: int) -> None:
        if version < self.api.oldest:
            self._answer(410, {"reason": "Expired"})
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

        def write(event: dict[str, Any]) -> None:
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()

        try:
            self.api.follow(path, version, write)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Content-Type"] != "application/merge-patch+json":
            self._answer(415, {})
        elif self.api.patched(self.path, body["status"]):
            self._answer(200, {})
        else:
            self._answer(404, {"message": "not found"})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        self._plain(status, json.dumps(document).encode())

    def _plain(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
