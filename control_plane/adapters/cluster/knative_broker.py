"""The `Broker` port in a cluster: events go to a Knative Broker, Triggers bring them to the consumers.

It only sends. Where the Triggers deliver to, and who is believed there, is in
`control_plane.events.receiver`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import urllib3
from cloudevents.core.bindings.http import to_binary_event
from cloudevents.core.v1.event import CloudEvent

from control_plane.adapters.cluster.triggers import CONSUMER_LABEL, broker_place, make_trigger
from control_plane.domain.events import Event
from control_plane.errors import Unavailable
from operators.cluster import Cluster, ClusterError
from operators.kinds import TRIGGER

__all__ = ["BrokerSettings", "KnativeBroker", "token_of"]

_MANAGER: Final = "ingot-console"
_TIMEOUT: Final = urllib3.Timeout(connect=3.0, read=10.0)


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Which Broker, and where it finds the consumers."""

    # Of the Broker's ingress, with its namespace and name.
    address: str
    # Who says what the events tell: one for each Ingot.
    source: str
    # Where the worker's receiver is for the Broker.
    consumers_url: str
    # From which the consumers' tokens are derived.
    key: bytes


def token_of(key: bytes, consumer: str) -> str:
    """Return what the Broker proves itself with at a consumer's door."""
    return hmac.new(key, f"ingot consumer {consumer}".encode(), hashlib.sha256).hexdigest()


class KnativeBroker:
    """Speaks to one Broker. Safe for several threads."""

    def __init__(self, cluster: Cluster, settings: BrokerSettings) -> None:
        """Raises ValueError when the address is not a Broker's."""
        self._cluster = cluster
        self._settings = settings
        self._place = broker_place(settings.address)
        self._pool = urllib3.PoolManager(maxsize=2)

    def subscribe(self, consumers: Mapping[str, Collection[str]]) -> None:
        """Apply a Trigger for each consumer and delete those of consumers that are no more."""
        settings, place = self._settings, self._place
        triggers = [
            make_trigger(place, name, types, source=settings.source, subscriber=self._subscriber(name))
            for name, types in sorted(consumers.items())
        ]
        try:
            for trigger in triggers:
                self._cluster.apply(trigger, _MANAGER)
            kept = {trigger["metadata"]["name"] for trigger in triggers}
            for body in self._cluster.list(TRIGGER, place.namespace, labels=CONSUMER_LABEL):
                meta = body["metadata"]
                if body["spec"].get("broker") == place.name and meta["name"] not in kept:
                    self._cluster.delete(TRIGGER, place.namespace, meta["name"], meta["uid"])
        except ClusterError as error:
            raise Unavailable(f"The Triggers cannot be written: {error.message[:500]}") from error

    def publish(self, event: Event) -> None:
        """Post the event in binary mode; the Broker has it when it says so."""
        message = to_binary_event(
            CloudEvent(
                attributes={
                    "id": event.id,
                    "source": self._settings.source,
                    "type": event.type,
                    "specversion": "1.0",
                    "subject": event.subject,
                    "time": datetime.fromtimestamp(event.time_ms / 1000, UTC),
                    "datacontenttype": "application/json",
                    "organization": event.organization,
                },
                data=dict(event.data),
            )
        )
        try:
            answer = self._pool.request(
                "POST",
                self._settings.address,
                body=message.body,
                headers=message.headers,
                timeout=_TIMEOUT,
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(f"The broker does not answer: {error}") from error
        if not 200 <= answer.status < 300:
            said = answer.data[:200].decode(errors="replace").strip()
            raise Unavailable(f"The broker answered {answer.status}: {said}")

    def _subscriber(self, consumer: str) -> str:
        token = token_of(self._settings.key, consumer)
        return f"{self._settings.consumers_url.rstrip('/')}/consumers/{consumer}/{token}"
