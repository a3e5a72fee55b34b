"""How events reach the platform's consumers: within the worker, or by a Knative Broker."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from control_plane.adapters.embedded.direct_broker import DirectBroker
from control_plane.bootstrap.images import make_images
from control_plane.bootstrap.parts import key
from control_plane.bootstrap.storage import make_blobs
from control_plane.domain.deliveries import Consumer
from control_plane.domain.events import type_of
from control_plane.errors import Invalid
from control_plane.events.receiver import Receiver
from control_plane.events.relay import Relay
from control_plane.ports import Broker
from control_plane.services.changes import Changes
from control_plane.services.deliveries import Deliveries
from control_plane.services.release_images import ReleaseImages
from control_plane.settings import Settings

__all__ = ["make_deliveries", "make_relay"]


def make_deliveries(settings: Settings, changes: Changes) -> Deliveries:
    """Return the deliveries to the consumers that these settings ask for; on one machine there are none."""
    images = make_images(settings)
    if images is None:
        return Deliveries(changes, ())
    prepare = ReleaseImages(changes, images, make_blobs(settings)).prepare
    return Deliveries(changes, (Consumer("images", frozenset({type_of("review.approved")}), prepare),))


def make_relay(
    settings: Settings, keys: Mapping[str, str], deliveries: Deliveries, stack: contextlib.ExitStack
) -> Relay:
    """Return the relay; what it needs to receive ends with the stack. Raises Invalid, naming the setting."""
    wanted = settings.cluster
    if not wanted.broker:
        return Relay(deliveries, DirectBroker(deliveries.take))
    for name in ("kubeconfig", "consumers_listen", "consumers_url"):
        if not getattr(wanted, name):
            raise Invalid(f"A Broker needs cluster.{name}.", field=f"cluster.{name}")
    return Relay(deliveries, _knative_broker(settings, key(keys, "release"), deliveries, stack))


def _knative_broker(
    settings: Settings, secret: bytes, deliveries: Deliveries, stack: contextlib.ExitStack
) -> Broker:
    # Its client takes half a second to load, which one machine has no use for.
    from control_plane.adapters.cluster.knative_broker import BrokerSettings, KnativeBroker, token_of
    from control_plane.bootstrap.cluster import make_cluster

    wanted = settings.cluster
    source = f"/ingot/{wanted.namespace}"
    try:
        broker = KnativeBroker(
            make_cluster(settings), BrokerSettings(wanted.broker, source, wanted.consumers_url, secret)
        )
    except ValueError as error:
        raise Invalid(f"The Broker cannot be used: {error}.", field="cluster.broker") from error
    host, _, port = wanted.consumers_listen.rpartition(":")
    tokens = {name: token_of(secret, name) for name in deliveries.wanted}
    try:
        receiver = Receiver((host, int(port)), source, tokens, deliveries.take)
    except (OSError, ValueError, OverflowError) as error:
        raise Invalid(
            f"The worker cannot listen at {wanted.consumers_listen}: {error}.",
            field="cluster.consumers_listen",
        ) from error
    stack.callback(receiver.close)
    return broker
