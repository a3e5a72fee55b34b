"""A small Kubernetes API server over HTTP: what the operator relies on, and nothing else.

Resource versions, generations, status subresources, server-side apply with
ownership by manager, preconditions, owners' garbage collection. The schemas
and transition rules of Ingot's own kinds are read from the shipped CRDs.
It has no watches; what they would say is said by the tests.
"""

from __future__ import annotations

import copy
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema_rs
import yaml
from kubernetes.client import Configuration

from operators.cluster import Cluster

__all__ = ["FakeApiServer", "Problem"]

CRDS = Path(__file__).resolve().parents[2] / "knative" / "crds"
_PATH = re.compile(
    r"/(?:api|apis)/(?P<version>(?:[^/]+/)?v[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<subresource>status))?"
)
_MAIN, _STATUS = "main", "status"


class Problem(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class FakeApiServer:
    """Objects by (plural, namespace, name). Use it as a context manager."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        # Each write as (method, plural, name, subresource), and whether it changed anything.
        self.writes: list[tuple[str, str, str, str]] = []
        # (plural, name) -> (status, message): what a webhook or quota would refuse.
        self.refusals: dict[tuple[str, str], tuple[int, str]] = {}
        # Plays the webhooks of a kind: completes a new object, or raises Problem.
        self.webhooks: dict[str, Callable[[dict[str, Any], dict[str, Any] | None], None]] = {}
        self.requests = 0
        self._applied: dict[tuple[str, str, str], dict[tuple[str, str], dict[str, Any]]] = {}
        self._schemas = {crd["spec"]["names"]["plural"]: _schema(crd) for crd in _crds()}
        self._version = 0
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    def __enter__(self) -> FakeApiServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def client(self) -> Cluster:
        """Return the operator's own client of this server."""
        configuration = Configuration()
        configuration.host = f"http://127.0.0.1:{self._server.server_address[1]}"
        return Cluster(configuration)

    def get(self, plural: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """Return a copy of an object, for assertions."""
        with self._lock:
            return copy.deepcopy(self.objects.get((plural, namespace, name)))

    def put(self, plural: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create or replace an object as somebody else would, status included."""
        with self._lock:
            meta = body["metadata"]
            key = (plural, meta.get("namespace", ""), meta["name"])
            before = self.objects.get(key)
            return copy.deepcopy(self._store(key, copy.deepcopy(body), before))

    def changed(self) -> list[tuple[str, str, str, str]]:
        """Return the writes since the last question."""
        with self._lock:
            done, self.writes = self.writes, []
            return done

    def answer(
        self, method: str, path: str, query: dict[str, str], body: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        """Return status and document of one request."""
        match = _PATH.fullmatch(path)
        if match is None:
            return 404, {"message": f"no such path {path}"}
        plural, namespace = match["plural"], match["namespace"] or ""
        key = (plural, namespace, match["name"] or body.get("metadata", {}).get("name", ""))
        with self._lock:
            self.requests += 1
            try:
                if method == "GET":
                    return 200, self._read(key, match["name"], query)
                return self._write(method, key, match["subresource"] or "", query, body)
            except Problem as problem:
                return problem.status, {"message": str(problem), "code": problem.status}

    def _read(self, key: tuple[str, str, str], name: str | None, query: dict[str, str]) -> dict[str, Any]:
        if name is not None:
            if key not in self.objects:
                raise Problem(404, f"{key[0]} {name} not found")
            return self.objects[key]
        selector = [one for one in query.get("labelSelector", "").split(",") if one]
        found = [
            body
            for (plural, namespace, _), body in sorted(self.objects.items())
            if plural == key[0]
            and key[1] in {"", namespace}
            and _selects(selector, body["metadata"].get("labels", {}))
        ]
        return {"items": found, "metadata": {}}

    def _write(
        self,
        method: str,
        key: tuple[str, str, str],
        subresource: str,
        query: dict[str, str],
        body: dict[str, Any],
    ) -> tuple[int, dict[str, Any]]:
        refusal = self.refusals.get((key[0], key[2]))
        if refusal is not None and method != "DELETE":
            raise Problem(*refusal)
        before = self.objects.get(key)
        if method == "DELETE":
            return 200, self._delete(key, before, body)
        if method == "POST" and before is not None:
            raise Problem(409, f"{key[0]} {key[2]} already exists")
        if before is None and (method == "PUT" or subresource):
            raise Problem(404, f"{key[0]} {key[2]} not found")
        expected = body.get("metadata", {}).get("resourceVersion")
        if before is not None and expected and expected != before["metadata"]["resourceVersion"]:
            raise Problem(
                409, "the object has been modified; please apply your changes to the latest version"
            )
        if before is None and expected and method == "PATCH":
            raise Problem(409, "the object was deleted")
        manager = (query.get("fieldManager", ""), subresource or _MAIN)
        if method == "PATCH":
            after = self._merged(key, before, manager, body)
        elif subresource:
            after = {**copy.deepcopy(before or {}), "status": body.get("status", {})}
        else:
            after = {**copy.deepcopy(body), "status": (before or {}).get("status", {})}
        webhook = self.webhooks.get(key[0])
        if webhook is not None and not subresource:
            webhook(after, before)
        stored = self._store(key, after, before)
        if stored is not before:
            self.writes.append((method, key[0], key[2], subresource))
        return (200 if before else 201), stored

    def _delete(
        self, key: tuple[str, str, str], before: dict[str, Any] | None, body: dict[str, Any]
    ) -> dict[str, Any]:
        if before is None:
            raise Problem(404, f"{key[0]} {key[2]} not found")
        uid = body.get("preconditions", {}).get("uid")
        if uid and uid != before["metadata"]["uid"]:
            raise Problem(409, "the UID in the precondition does not match")
        self.writes.append(("DELETE", key[0], key[2], ""))
        self._remove(key)
        return {"status": "Success"}

    def _remove(self, key: tuple[str, str, str]) -> None:
        """Remove an object and what it owns, as the garbage collector would."""
        gone = self.objects.pop(key)
        self._applied.pop(key, None)
        uid = gone["metadata"]["uid"]
        for other, body in list(self.objects.items()):
            owners = body["metadata"].get("ownerReferences", ())
            if any(one["uid"] == uid for one in owners) and other in self.objects:
                self._remove(other)

    def _merged(
        self,
        key: tuple[str, str, str],
        before: dict[str, Any] | None,
        manager: tuple[str, str],
        body: dict[str, Any],
    ) -> dict[str, Any]:
        """Return the object after a server-side apply: what this manager applies no more goes."""
        part = {"status": body.get("status", {})} if manager[1] == _STATUS else _without_status(body)
        mine = self._applied.setdefault(key, {})
        after = copy.deepcopy(before or {})
        others = [applied for who, applied in mine.items() if who != manager]
        _drop(after, mine.get(manager, {}), part, others)
        _merge(after, part)
        mine[manager] = copy.deepcopy(part)
        return after

    def _store(
        self, key: tuple[str, str, str], after: dict[str, Any], before: dict[str, Any] | None
    ) -> dict[str, Any]:
        meta = after.setdefault("metadata", {})
        old = (before or {}).get("metadata", {})
        self._check(key[0], after, before)
        meta["uid"] = old.get("uid") or f"uid-{self._version + 1}"
        meta["generation"] = old.get("generation", 0) + (
            0 if before is not None and after.get("spec") == before.get("spec") else 1
        )
        meta["resourceVersion"] = old.get("resourceVersion", "")
        if before is not None and after == before:
            return before
        self._version += 1
        meta["resourceVersion"] = str(self._version)
        self.objects[key] = after
        return after

    def _check(self, plural: str, after: dict[str, Any], before: dict[str, Any] | None) -> None:
        known = self._schemas.get(plural)
        if known is None:
            return
        schema, rules = known
        faults = [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(after)]
        for path, rule in rules:
            new, old = _at(after, path), _at(before or {}, path)
            if new is not None and old is not None and not (new >= old if ">=" in rule else new == old):
                faults.append(f"{'.'.join(path)}: {rule}")
        if faults:
            raise Problem(422, "; ".join(faults)[:2_000])


def _crds() -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))]


def _schema(crd: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[tuple[str, ...], str]]]:
    """Return a CRD's schema and its transition rules; the other CEL rules need a real cluster."""
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    rules: list[tuple[tuple[str, ...], str]] = []

    def visit(node: dict[str, Any], path: tuple[str, ...]) -> None:
        stated = [one["rule"] for one in node.get("x-kubernetes-validations", ())]
        rules.extend((path, rule) for rule in stated if rule in {"self >= oldSelf", "self == oldSelf"})
        for name, child in node.get("properties", {}).items():
            visit(child, (*path, name))

    visit(schema, ())
    return schema, rules


def _selects(selector: list[str], labels: dict[str, str]) -> bool:
    """Say whether labels fit all of `name=value` and `name`."""
    pairs = [one.partition("=") for one in selector]
    return all(name in labels and (not equals or labels[name] == value) for name, equals, value in pairs)


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    return body


def _without_status(body: dict[str, Any]) -> dict[str, Any]:
    part = {name: value for name, value in body.items() if name != "status"}
    part["metadata"] = {name: value for name, value in part["metadata"].items() if name != "resourceVersion"}
    return part


def _merge(live: dict[str, Any], applied: dict[str, Any]) -> None:
    for name, value in applied.items():
        if isinstance(value, dict) and isinstance(live.get(name), dict):
            _merge(live[name], value)
        else:
            live[name] = copy.deepcopy(value)


def _drop(
    live: dict[str, Any], last: dict[str, Any], new: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    """Remove fields that this manager applied before, applies no more, and nobody else holds."""
    for name, value in last.items():
        held = [other[name] for other in others if name in other]
        if name not in new:
            if not held and name in live:
                del live[name]
        elif isinstance(value, dict) and isinstance(new[name], dict) and isinstance(live.get(name), dict):
            _drop(live[name], value, new[name], [one for one in held if isinstance(one, dict)])


def _handler(api: FakeApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # One segment for each answer; two would wait for each other.
        wbufsize = -1

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, document = api.answer(self.command, parts.path, query, body)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    return Handler
