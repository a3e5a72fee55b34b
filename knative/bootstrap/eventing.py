"""What of Knative Eventing is installed: the broker on in-memory channels. It reads manifests only.

Sources and sinks that would need further programs are left out: their pods
would name an image that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knative.bootstrap.plan import REGISTRY
from knative.bootstrap.shipped import documents, files, fitted, with_data

__all__ = ["NAMESPACE", "NOT_BUILT", "PROGRAMS", "stages"]

NAMESPACE = "knative-eventing"
_COMMANDS = "knative.dev/eventing/cmd"
PROGRAMS = {
    f"{_COMMANDS}/controller": "eventing-controller",
    f"{_COMMANDS}/webhook": "eventing-webhook",
    f"{_COMMANDS}/mtchannel_broker": "mtchannel-broker",
    f"{_COMMANDS}/broker/ingress": "broker-ingress",
    f"{_COMMANDS}/broker/filter": "broker-filter",
    f"{_COMMANDS}/in_memory/channel_controller": "channel-controller",
    f"{_COMMANDS}/in_memory/channel_dispatcher": "channel-dispatcher",
}
# Named in the manifests, not built: Ingot uses none of them.
NOT_BUILT = {
    f"{_COMMANDS}/{name}": f"{REGISTRY}/not-built/{name.replace('_', '-')}:none"
    for name in ("apiserver_receive_adapter", "auth_proxy")
}
_LEFT_OUT = ("job-sink", "pingsource", "request-reply", "hpa")
_ELECTION = {"lease-duration": "15s", "renew-deadline": "10s", "retry-period": "2s"}


def stages(shipped: Mapping[str, Path], images: Mapping[str, str]) -> list[list[dict[str, Any]]]:
    """Return the objects in three stages: definitions, what they rest on, then what runs."""
    root = shipped["knative.dev/eventing"]
    core = root / "config/core"
    channel, broker = root / "config/channels/in-memory-channel", root / "config/brokers/mt-channel-broker"
    known = {**images, **NOT_BUILT}
    definitions = [
        core / "100-namespace.yaml",
        *files(core, "resources/*.yaml"),
        *files(channel, "resources/*.yaml"),
    ]
    ground = [
        *files(core, "200-*.yaml"),
        *(path for folder in (core, channel, broker) for path in files(folder, "roles/*.yaml")),
        *files(channel, "200-*.yaml"),
        *(path for folder in (core, channel) for path in files(folder, "configmaps/*.yaml")),
        *(path for folder in (core, channel) for path in files(folder, "webhooks/*secret*.yaml")),
        # The controller reads names of images from these and does not start without them.
        *files(root / "third_party/eventing-integrations-latest", "*images.yaml"),
    ]
    running = [
        *(
            path
            for folder in (core, channel, broker)
            for path in files(folder, "deployments/*.yaml", _LEFT_OUT)
        ),
        *(path for folder in (core, channel) for path in files(folder, "webhooks/*.yaml", ("secret",))),
    ]
    return [
        list(documents(definitions)),
        [_with_election(found) for found in fitted(documents(ground), known, {})],
        fitted(documents(running), known, {}),
    ]


def _with_election(document: dict[str, Any]) -> dict[str, Any]:
    is_it = document["kind"] == "ConfigMap" and document["metadata"]["name"] == "config-leader-election"
    return with_data(document, _ELECTION) if is_it else document
