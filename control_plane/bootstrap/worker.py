"""What the worker turns over."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from control_plane.adapters.embedded.clock import SystemClock
from control_plane.adapters.gateway.gateway import HAProxyGateway
from control_plane.bootstrap.broker import make_deliveries, make_relay
from control_plane.bootstrap.cleanup import make_retention
from control_plane.bootstrap.exporting import make_exporting
from control_plane.bootstrap.gateway import make_gateway_settings
from control_plane.bootstrap.guards import make_guards
from control_plane.bootstrap.hops import make_hops
from control_plane.bootstrap.images import make_image_retention
from control_plane.bootstrap.parts import make_audit, make_changes, make_poke, read_settings
from control_plane.bootstrap.runtime import make_release_runtime
from control_plane.bootstrap.storage import make_file_bytes
from control_plane.bootstrap.traces import make_spans, release_tracer
from control_plane.domain.traces import TimedRelease
from control_plane.events.cleaning import Cleaning
from control_plane.events.relay import Relay
from control_plane.services.events import Events
from control_plane.services.file_removal import FileRemoval
from control_plane.services.guarding import GuardAction
from control_plane.services.preview_expiry import PreviewExpiry
from control_plane.services.reconciler import Reconciler

__all__ = ["Worker", "build_worker"]

# Several releases may load their code at once; more would only slow each other down.
_PREPARING = 4
# The reconciler reads every function once at each look: what it has read it does not read again before the
# next one, and the kernel keeps the file for all processes together.
_CACHE_MB = 2


@dataclass(frozen=True, slots=True)
class Worker:
    """What the worker turns over."""

    reconciler: Reconciler
    # Gives committed events their places; returns how many.
    sequence_events: Callable[[], int]
    # Signs the audit chains that are due; returns how many.
    checkpoint: Callable[[], int]
    # Ends previews that nobody works with; returns how many.
    sweep_previews: Callable[[], int]
    # Deletes files that have expired or never came; returns how many.
    delete_files: Callable[[], int]
    # Removes what is over, beside everything else.
    cleaning: Cleaning
    # Signs what is to leave this Ingot; returns how many.
    sign_exports: Callable[[], int]
    # Gives pods newer tokens of the gateway; returns how many commands that took.
    renew_hops: Callable[[], int]
    # Measures guarded releases and acts; returns what was done.
    look_after_guards: Callable[[], tuple[GuardAction, ...]]
    # Is told of each release that went live or failed.
    trace_release: Callable[[TimedRelease], None]
    # Publishes events for the platform's consumers; None where nobody follows any.
    relay: Relay | None = None


@contextlib.contextmanager
def build_worker(document: Mapping[str, Any], keys: Mapping[str, str]) -> Iterator[Worker]:
    """Yield the worker's parts; its threads end with the block."""
    settings = read_settings(document)
    changes = make_changes(settings, cache_mb=_CACHE_MB)
    retention = make_retention(settings, changes)
    clean_images = make_image_retention(settings, changes).clean
    gateway = HAProxyGateway(
        make_gateway_settings(settings, document["identities"]), SystemClock(), make_hops(settings, keys)
    )
    spans = make_spans(settings, "worker")
    deliveries = make_deliveries(settings, changes)
    with contextlib.ExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(_PREPARING, thread_name_prefix="prepare"))
        if spans:
            stack.callback(spans.close)
        reconciler = Reconciler(
            changes,
            make_release_runtime(settings, changes, keys),
            gateway,
            executor,
            isolation=document["isolation"],
            poke=make_poke(settings),
        )
        yield Worker(
            reconciler=reconciler,
            sign_exports=make_exporting(settings, changes, keys, document["isolation"]).sign_due,
            sequence_events=Events(changes, deliveries.wanted).sequence,
            checkpoint=make_audit(settings, changes, keys).checkpoint,
            sweep_previews=PreviewExpiry(changes).sweep,
            delete_files=FileRemoval(changes, make_file_bytes(settings)).delete_due,
            cleaning=Cleaning(
                retention.clean_rows,
                lambda: (*retention.clean_content(), *clean_images()),
                every_s=settings.retention.every_s,
                # Content lives for a grace at least, so a look four times in it is often enough.
                content_every_s=settings.retention.content_hours * 900,
            ),
            renew_hops=gateway.renew_hops,
            look_after_guards=make_guards(settings, changes).look,
            trace_release=release_tracer(spans),
            relay=make_relay(settings, keys, deliveries, stack) if deliveries.wanted else None,
        )
