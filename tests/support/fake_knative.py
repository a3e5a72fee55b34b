"""Plays Knative on a fake API server: each step does what its controllers would do by then."""

from __future__ import annotations

from typing import Any

from tests.support.fake_api_server import FakeApiServer, Problem

__all__ = ["FakeKnative"]


class FakeKnative:
    """Makes revisions of templates, and routes to those that are ready."""

    def __init__(self, api: FakeApiServer) -> None:
        self.api = api
        # Images that never start -> the pod's container state.
        self.broken: dict[str, dict[str, Any]] = {}
        # Images whose instances are not up yet.
        self.slow: set[str] = set()
        api.webhooks["services"] = _complete

    def step(self) -> None:
        """Let every controller act once."""
        for (plural, _, _), body in list(self.api.objects.items()):
            if plural == "services" and body["apiVersion"].startswith("serving"):
                self._serve(body)
            elif plural in {"triggers", "domainmappings"}:
                self.api.put(plural, body | {"status": {"conditions": [_condition("Ready", "True")]}})

    def _serve(self, service: dict[str, Any]) -> None:
        meta, template = service["metadata"], service["spec"]["template"]
        namespace, name = meta["namespace"], template["metadata"]["name"]
        if self.api.get("revisions", name, namespace) is None:
            self._make_revision(service, template)
        for (plural, _, _), revision in list(self.api.objects.items()):
            if plural == "revisions":
                self._run(revision)
        traffic = service["spec"].get("traffic", [])
        routed = all(self._ready(namespace, one["revisionName"]) for one in traffic)
        state = "True" if routed else "Unknown"
        status: dict[str, Any] = {
            "observedGeneration": self.api.objects["services", namespace, meta["name"]]["metadata"][
                "generation"
            ],
            "conditions": [_condition("RoutesReady", state)],
        }
        status["traffic"] = traffic if routed else service.get("status", {}).get("traffic", [])
        self.api.put("services", service | {"status": status})

    def _make_revision(self, service: dict[str, Any], template: dict[str, Any]) -> None:
        meta = service["metadata"]
        self.api.put(
            "revisions",
            {
                "apiVersion": "serving.knative.dev/v1",
                "kind": "Revision",
                "metadata": {
                    **template["metadata"],
                    "namespace": meta["namespace"],
                    # Its owner is a Configuration, whose owner is the Service.
                    "ownerReferences": [{"uid": meta["uid"], "controller": True}],
                },
                "spec": template["spec"],
            },
        )

    def _run(self, revision: dict[str, Any]) -> None:
        image = revision["spec"]["containers"][0]["image"]
        if image in self.broken:
            self._make_pod(revision, self.broken[image])
        state = "Unknown" if image in self.broken or image in self.slow else "True"
        self.api.put("revisions", revision | {"status": {"conditions": [_condition("Ready", state)]}})

    def _make_pod(self, revision: dict[str, Any], state: dict[str, Any]) -> None:
        meta = revision["metadata"]
        self.api.put(
            "pods",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{meta['name']}-pod",
                    "namespace": meta["namespace"],
                    "labels": {**meta["labels"], "serving.knative.dev/revision": meta["name"]},
                    "ownerReferences": [{"uid": meta["uid"], "controller": True}],
                },
                "status": {"containerStatuses": [{"name": "user-container", **state}]},
            },
        )

    def _ready(self, namespace: str, name: str) -> bool:
        revision = self.api.get("revisions", name, namespace) or {}
        conditions = revision.get("status", {}).get("conditions", [])
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _complete(after: dict[str, Any], before: dict[str, Any] | None) -> None:
    """Fill in a template with a new name; refuse a changed one with the same name."""
    template, known = after["spec"]["template"], (before or {}).get("spec", {}).get("template")
    if known is None or known["metadata"].get("name") != template["metadata"].get("name"):
        for container in template["spec"]["containers"]:
            container.setdefault("readinessProbe", {"successThreshold": 1, "tcpSocket": {"port": 0}})
    elif known["spec"] != template["spec"]:
        raise Problem(400, "Saw the following changes without a name change: spec.template.metadata.name")


def _condition(kind: str, status: str) -> dict[str, Any]:
    return {"type": kind, "status": status}
