"""The Knative Triggers of the platform's consumers. Pure: applying them is in `knative_broker`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["CONSUMER_LABEL", "BrokerPlace", "broker_place", "make_trigger"]

# On every Trigger of a consumer, and on nothing else.
CONSUMER_LABEL: Final = "ingot.dev/consumer"


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """A Broker, by what its ingress is called with."""

    namespace: str
    name: str


def broker_place(address: str) -> BrokerPlace:
    """Return which Broker an ingress address, `http://HOST/NAMESPACE/NAME`, belongs to. Raises ValueError."""
    scheme, _, rest = address.partition("://")
    parts = rest.split("/")
    if scheme not in {"http", "https"} or len(parts) != 3 or not all(parts):
        raise ValueError("the broker's address is not http://HOST/NAMESPACE/NAME")
    return BrokerPlace(parts[1], parts[2])


def make_trigger(
    place: BrokerPlace, consumer: str, types: Collection[str], *, source: str, subscriber: str
) -> dict[str, Any]:
    """Return the Trigger that brings a consumer the events of its types from this Ingot alone.

    The broker's own retries are few: what is lost or refused longer is published again.
    """
    exact = [{"exact": {"type": one}} for one in sorted(types)]
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {
            "name": f"ingot-{place.name}-{consumer}",
            "namespace": place.namespace,
            "labels": {"app.kubernetes.io/managed-by": "ingot-console", CONSUMER_LABEL: consumer},
        },
        "spec": {
            "broker": place.name,
            "filters": [{"exact": {"source": source}}, {"any": exact} if len(exact) > 1 else exact[0]],
            "subscriber": {"uri": subscriber},
            "delivery": {"retry": 3, "backoffPolicy": "exponential", "backoffDelay": "PT0.5S"},
        },
    }
