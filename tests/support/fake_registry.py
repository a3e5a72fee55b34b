"""A registry in memory, over real HTTP on loopback, that can be told to misbehave.

It passes the same contract suite as a real one. A fault is used up by the
requests that it matches; without faults it is an honest registry.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["FakeRegistry", "Fault", "running_fake_registry"]


@dataclass
class Fault:
    """What happens instead of, or on top of, an honest answer."""

    method: str
    path: str = ".*"
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    # Of an honest body: send only half and hang up; change one byte; send one byte each 50 ms.
    cut: bool = False
    corrupt: bool = False
    drip: bool = False
    # Hang up without a word, before or after the request was carried out.
    hang_up: str = ""
    # Forget every upload first.
    forget: bool = False
    # Send this many bytes of nothing instead of the body, without a length.
    flood: int = 0


@dataclass
class FakeRegistry:
    """What the fake holds and how it behaves."""

    auth: str = ""
    username: str = "robot"
    password: str = "secret"
    deletes: bool = True
    referrers: bool = True
    mounts: bool = True
    page: int = 3
    address: str = ""
    # repository -> digest -> bytes; repository -> name -> (type, bytes)
    blobs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    manifests: dict[str, dict[str, tuple[str, bytes]]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    # (method, path, had an Authorization header)
    seen: list[tuple[str, str, bool]] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)

    def count(self, method: str, path: str = ".*") -> int:
        """Return how many requests of a kind came."""
        return sum(one == method and bool(re.search(path, where)) for one, where, _ in self.seen)

    def fault_for(self, method: str, path: str) -> Fault | None:
        """Use up the next fault that fits."""
        for fault in self.faults:
            if fault.times and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None


@contextmanager
def running_fake_registry(
    registry: FakeRegistry | None = None, tls: Path | None = None
) -> Iterator[FakeRegistry]:
    """Serve a fake on a port of loopback; `tls` is a PEM file with certificate and key."""
    fake = registry or FakeRegistry()
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    fake.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


_Reply = tuple[int, dict[str, str], bytes]
_ROUTE = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>blobs|manifests|tags|referrers)/(?P<rest>.*)")


class _Handler(BaseHTTPRequestHandler):
    fake: FakeRegistry
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        fake, path = self.fake, self.path
        length = int(self.headers.get("Content-Length") or 0)
        fake.seen.append((self.command, path, "Authorization" in self.headers))
        fault = fake.fault_for(self.command, path)
        if fault is not None and fault.hang_up == "before":
            # Half of the body is read, so that the sender is in the middle of it.
            self.rfile.read(length // 2)
            self.close_connection = True
            self.connection.close()
            return
        body = self.rfile.read(length)
        if fault is not None and fault.forget:
            fake.uploads.clear()
        if fault is not None and fault.status:
            self._send((fault.status, fault.headers, b""), None)
            return
        reply = self._refusal() or self._reply(path, body)
        if fault is not None and fault.hang_up == "after":
            self.close_connection = True
            self.connection.close()
            return
        self._send(reply, fault)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = _handle  # noqa: N815

    def _send(self, reply: _Reply, fault: Fault | None) -> None:
        status, headers, body = reply
        if fault is not None:
            headers = headers | fault.headers
        if fault is not None and fault.corrupt and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault is not None and fault.flood:
            headers = {name: value for name, value in headers.items() if name != "Content-Length"}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if fault is not None and fault.flood:
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            self._write(bytes(fault.flood))
            return
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.cut:
            self._write(body[: len(body) // 2])
            self.close_connection = True
            self.connection.close()
        elif fault is not None and fault.drip:
            for byte in body:
                if not self._write(bytes([byte])):
                    return
                time.sleep(0.05)
        else:
            self._write(body)

    def _write(self, data: bytes) -> bool:
        try:
            self.wfile.write(data)
            self.wfile.flush()
        except OSError:
            self.close_connection = True
            return False
        return True

    def _refusal(self) -> _Reply | None:
        fake = self.fake
        given = self.headers.get("Authorization", "")
        basic = "Basic " + base64.b64encode(f"{fake.username}:{fake.password}".encode()).decode()
        if self.path.startswith("/token"):
            if given != basic:
                return 401, {}, _errors("UNAUTHORIZED")
            token = secrets.token_hex(8)
            fake.tokens[token] = " ".join(parse_qs(urlsplit(self.path).query).get("scope", []))
            return 200, {}, json.dumps({"token": token, "expires_in": 300}).encode()
        if fake.auth == "basic" and given != basic:
            return 401, {"WWW-Authenticate": 'Basic realm="fake"'}, _errors("UNAUTHORIZED")
        if fake.auth == "bearer" and not self._allowed(given):
            challenge = f'Bearer realm="http://{fake.address}/token",service="fake",scope="{self._scope()}"'
            return 401, {"WWW-Authenticate": challenge}, _errors("UNAUTHORIZED")
        return None

    def _scope(self) -> str:
        route = _ROUTE.fullmatch(urlsplit(self.path).path)
        name = route["name"] if route else ""
        actions = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}.get(self.command, "pull,push")
        source = parse_qs(urlsplit(self.path).query).get("from", [""])[0]
        return f"repository:{name}:{actions}" + (f" repository:{source}:pull" if source else "")

    def _allowed(self, given: str) -> bool:
        granted = self.fake.tokens.get(given.removeprefix("Bearer "), "").split()
        rights = {
            (name, action)
            for one in granted
            for _, name, actions in [one.split(":")]
            for action in actions.split(",")
        }
        wanted = [one.split(":") for one in self._scope().split()]
        return all((name, action) in rights for _, name, actions in wanted for action in actions.split(","))

    def _reply(self, path: str, body: bytes) -> _Reply:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/v2/":
            return 200, {}, b"{}"
        if parts.path.startswith("/storage/"):
            _, _, name, digest = parts.path.split("/", 3)
            return 200, {}, self.fake.blobs[name.replace("+", "/")][digest]
        route = _ROUTE.fullmatch(parts.path)
        if route is None:
            return 404, {}, _errors("NAME_UNKNOWN")
        name, kind, rest = route["name"], route["kind"], route["rest"]
        if kind == "blobs" and rest.startswith("uploads"):
            return self._upload(name, rest.removeprefix("uploads").strip("/"), query, body)
        reply: _Reply = getattr(self, f"_{kind}")(name, rest, query, body)
        return reply

    def _upload(self, name: str, upload: str, query: dict[str, str], body: bytes) -> _Reply:
        fake = self.fake
        if self.command == "POST":
            mounted = fake.blobs.get(query.get("from", ""), {}).get(query.get("mount", ""))
            if fake.mounts and mounted is not None:
                fake.blobs.setdefault(name, {})[query["mount"]] = mounted
                return 201, {"Docker-Content-Digest": query["mount"]}, b""
            upload = secrets.token_hex(8)
            fake.uploads[upload] = bytearray()
        if upload not in fake.uploads:
            return 404, {}, _errors("BLOB_UPLOAD_UNKNOWN")
        content = fake.uploads[upload]
        headers = {"Location": f"/v2/{name}/blobs/uploads/{upload}?state=x"}
        if self.command == "PATCH":
            start = int(self.headers["Content-Range"].partition("-")[0])
            if start != len(content):
                return 416, headers, _errors("RANGE_INVALID")
        if self.command in ("PATCH", "PUT"):
            content += body
        if self.command == "PUT":
            del fake.uploads[upload]
            if _digest(bytes(content)) != query["digest"]:
                return 400, {}, _errors("DIGEST_INVALID")
            fake.blobs.setdefault(name, {})[query["digest"]] = bytes(content)
            return 201, {"Docker-Content-Digest": query["digest"]}, b""
        headers["Range"] = f"0-{max(0, len(content) - 1)}"
        return (204 if self.command == "GET" else 202), headers, b""

    def _blobs(self, name: str, digest: str, query: dict[str, str], body: bytes) -> _Reply:
        held = self.fake.blobs.get(name, {})
        if self.command == "DELETE":
            return self._deleted(held, digest)
        if digest not in held:
            return 404, {}, _errors("BLOB_UNKNOWN")
        headers = {"Docker-Content-Digest": digest, "Content-Length": str(len(held[digest]))}
        return 200, headers, held[digest]

    def _deleted(self, held: dict[str, Any], key: str) -> _Reply:
        if not self.fake.deletes:
            return 405, {}, _errors("UNSUPPORTED")
        return (202, {}, b"") if held.pop(key, None) is not None else (404, {}, _errors("UNKNOWN"))

    def _manifests(self, name: str, reference: str, query: dict[str, str], body: bytes) -> _Reply:
        held = self.fake.manifests.setdefault(name, {})
        tags = self.fake.tags.setdefault(name, {})
        if self.command == "PUT":
            return self._put_manifest(name, reference, body)
        if self.command == "DELETE":
            if reference.startswith("sha256:"):
                reply = self._deleted(held, reference)
                for tag in [tag for tag, digest in tags.items() if reply[0] == 202 and digest == reference]:
                    del tags[tag]
                return reply
            return self._deleted(tags, reference)
        digest = tags.get(reference, reference)
        if digest not in held:
            return 404, {}, _errors("MANIFEST_UNKNOWN")
        media_type, content = held[digest]
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest}
        return 200, headers | {"Content-Length": str(len(content))}, content

    def _put_manifest(self, name: str, reference: str, body: bytes) -> _Reply:
        fake = self.fake
        document = json.loads(body)
        needed = [one["digest"] for one in [document.get("config"), *document.get("layers", [])] if one]
        if any(digest not in fake.blobs.get(name, {}) for digest in needed):
            return 400, {}, _errors("MANIFEST_BLOB_UNKNOWN")
        digest = _digest(body)
        fake.manifests[name][digest] = (self.headers["Content-Type"], body)
        if not reference.startswith("sha256:"):
            fake.tags[name][reference] = digest
        elif reference != digest:
            return 400, {}, _errors("DIGEST_INVALID")
        headers = {"Docker-Content-Digest": digest}
        if fake.referrers and "subject" in document:
            headers["OCI-Subject"] = document["subject"]["digest"]
        return 201, headers, b""

    def _tags(self, name: str, rest: str, query: dict[str, str], body: bytes) -> _Reply:
        tags = sorted(self.fake.tags.get(name, {}))
        if name not in self.fake.manifests:
            return 404, {}, _errors("NAME_UNKNOWN")
        left = [tag for tag in tags if tag > query.get("last", "")]
        page, headers = left[: self.fake.page], {}
        if len(left) > len(page):
            headers["Link"] = f'</v2/{name}/tags/list?n={self.fake.page}&last={page[-1]}>; rel="next"'
        return 200, headers, json.dumps({"name": name, "tags": page}).encode()

    def _referrers(self, name: str, digest: str, query: dict[str, str], body: bytes) -> _Reply:
        if not self.fake.referrers:
            return 404, {}, b"404 page not found\n"
        found = []
        for own, (media_type, content) in self.fake.manifests.get(name, {}).items():
            document = json.loads(content)
            if document.get("subject", {}).get("digest") == digest:
                found.append(
                    {
                        "mediaType": media_type,
                        "digest": own,
                        "size": len(content),
                        "artifactType": document.get("artifactType", ""),
                    }
                )
        index = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": found,
        }
        return 200, {"Content-Type": index["mediaType"]}, json.dumps(index).encode()  # type: ignore[dict-item]


def _errors(code: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode()
