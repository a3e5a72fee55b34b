"""A small world for the operator's tests: a fake API server, Knative played, a release service that signs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.adapters.cluster.function_resources import make_statement
from control_plane.domain.attestations import (
    Envelope,
    ReleaseStatement,
    TakedownStatement,
    frame,
    key_id,
    payload_of,
)
from operators.reconcile import FunctionReconciler
from operators.resources.common import Options
from operators.tombstones import TombstoneReconciler
from tests.support.fake_api_server import FakeApiServer
from tests.support.fake_knative import FakeKnative

__all__ = ["NOW", "Stage", "digest", "function_body", "image", "sign", "version"]

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def digest(letter: str) -> str:
    """Return a digest that reads like its letter."""
    return "sha256:" + letter * 64


def image(letter: str) -> str:
    """Return an image by digest."""
    return f"registry.example/orders@sha256:{letter * 64}"


def version(number: int, percent: int = 100, letter: str = "", **fields: Any) -> dict[str, Any]:
    """Return one entry of spec.versions."""
    letter = letter or f"{number:x}"[-1]
    limits = {"memoryMb": 256, "timeoutMs": 30_000, "concurrency": 1, "instances": 4}
    return {
        "name": f"v{number}",
        "number": number,
        "digest": digest(letter),
        "image": image(letter),
        "percent": percent,
        "limits": limits,
        **fields,
    }


def function_body(*versions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a Function without attestation."""
    return {
        "apiVersion": "ingot.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {
            "function": "fn_orders",
            "organization": "org_acme",
            "project": "prj_shop",
            "managedBy": "git",
            "release": {"number": 1, "digest": digest("e")},
            "versions": list(versions or (version(1),)),
            **fields,
        },
    }


def sign(statement: ReleaseStatement | TakedownStatement, key: Ed25519PrivateKey = _KEY) -> dict[str, Any]:
    """Return the envelope that a release service with this key makes."""
    kind, payload = payload_of(statement)
    signature = key.sign(frame(kind, payload))
    return Envelope(kind, payload, ((key_id(key.public_key().public_bytes_raw()), signature),)).document()


class Stage:
    """The operator between a fake API server and whoever writes Functions."""

    def __init__(self, api: FakeApiServer, options: Options | None = None) -> None:
        self.api = api
        self.knative = FakeKnative(api)
        self.cluster = api.client()
        self.fence = 1
        self.reconciler = FunctionReconciler(
            self.cluster, options or Options(), namespace="ingot-system", fence=self._fence, now=lambda: NOW
        )
        self.tombstones = TombstoneReconciler(
            self.cluster, namespace="ingot-system", fence=self._fence, now=lambda: NOW
        )
        # Called ahead of each question for the fence: where a test makes something happen.
        self.before_fence: Callable[[], None] = lambda: None
        self.trust()

    def _fence(self) -> int:
        self.before_fence()
        return self.fence

    def trust(self, key: Ed25519PrivateKey = _KEY, **fields: Any) -> None:
        """Trust this key alone."""
        self.trust_entry({"key": base64.b64encode(key.public_key().public_bytes_raw()).decode(), **fields})

    def trust_entry(self, entry: dict[str, Any]) -> None:
        """Trust what this entry says alone."""
        self.api.put(
            "configmaps",
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "ingot-trust", "namespace": "ingot-system"},
                "data": {"release": json.dumps(entry)},
            },
        )

    def attested(self, body: dict[str, Any], epoch: int = 1, **changes: Any) -> dict[str, Any]:
        """Return the resource with a signed statement about it; `changes` are to the statement."""
        statement = replace(make_statement(body, approvals=1, epoch=epoch), **changes)
        return body | {"spec": body["spec"] | {"attestation": sign(statement)}}

    def write(self, body: dict[str, Any], epoch: int = 1, **changes: Any) -> None:
        """Write a resource with its attestation, as `kubectl apply` would."""
        self.cluster.apply(self.attested(body, epoch, **changes), "kubectl")

    def bury(self, epoch: int, *versions: str, minimum: int = 0) -> None:
        """Write a Tombstone and have it read."""
        statement = TakedownStatement("fn_orders", epoch, minimum, versions)
        self.cluster.apply(
            {
                "apiVersion": "ingot.dev/v1alpha1",
                "kind": "Tombstone",
                "metadata": {"name": "fn-orders"},
                "spec": {"function": "fn_orders", "statement": sign(statement)},
            },
            "console",
        )
        self.tombstones.reconcile("fn-orders")

    def look(self, name: str = "orders", namespace: str = "shop") -> None:
        """Have the operator look once."""
        self.reconciler.reconcile(namespace, name)

    def settle(self, name: str = "orders", namespace: str = "shop") -> int:
        """Turn operator and Knative until nothing changes; return how often."""
        for turn in range(20):
            self.api.changed()
            self.look(name, namespace)
            before = {key: body["metadata"]["resourceVersion"] for key, body in self.api.objects.items()}
            self.knative.step()
            after = {key: body["metadata"]["resourceVersion"] for key, body in self.api.objects.items()}
            if before == after and not self.api.changed():
                return turn
        raise AssertionError("operator and Knative never come to rest")

    def service(self, name: str = "orders", namespace: str = "shop") -> dict[str, Any] | None:
        """Return the Knative Service."""
        return self.api.get("services", name, namespace)

    def traffic(self) -> dict[str, int]:
        """Return image letter -> percent of the calls."""
        service = self.service()
        shares: dict[str, int] = {}
        for one in (service or {}).get("spec", {}).get("traffic", ()):
            if one["percent"]:
                revision = self.api.get("revisions", one["revisionName"], "shop")
                letter = revision["spec"]["containers"][0]["image"][-1] if revision else "?"
                shares[letter] = shares.get(letter, 0) + one["percent"]
        return shares

    def status(self, name: str = "orders", namespace: str = "shop") -> dict[str, Any]:
        """Return the Function's status."""
        body = self.api.get("functions", name, namespace)
        assert body is not None
        return dict(body.get("status", {}))

    def condition(self, kind: str = "Ready") -> tuple[str, str, str]:
        """Return (status, reason, message) of a condition."""
        found = {one["type"]: one for one in self.status().get("conditions", ())}
        one = found.get(kind, {})
        return one.get("status", ""), one.get("reason", ""), one.get("message", "")
