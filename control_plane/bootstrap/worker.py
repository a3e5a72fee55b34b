"""What the worker turns over."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from control_plane.adapters.embedded.clock import SystemClock
from control_plane.adapters.embedded.file_bytes import FolderFileBytes
from control_plane.adapters.gateway.gateway import HAProxyGateway
from control_plane.bootstrap.gateway import make_gateway_settings
from control_plane.bootstrap.parts import make_audit, make_changes, make_poke, make_runtime, read_settings
from control_plane.services.events import Events
from control_plane.services.file_removal import FileRemoval
from control_plane.services.preview_expiry import PreviewExpiry
from control_plane.services.reconciler import Reconciler

__all__ = ["Worker", "build_worker"]

# Several releases may load their code at once; more would only slow each other down.
_PREPARING = 4


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


@contextlib.contextmanager
def build_worker(document: Mapping[str, Any], keys: Mapping[str, str]) -> Iterator[Worker]:
    """Yield the worker's parts; its threads end with the block."""
    settings = read_settings(document)
    changes = make_changes(settings)
    gateway = HAProxyGateway(make_gateway_settings(settings, document["identities"]), SystemClock())
    with ThreadPoolExecutor(_PREPARING, thread_name_prefix="prepare") as executor:
        reconciler = Reconciler(
            changes,
            make_runtime(settings),
            gateway,
            executor,
            isolation=document["isolation"],
            poke=make_poke(settings),
        )
        yield Worker(
            reconciler=reconciler,
            sequence_events=Events(changes).sequence,
            checkpoint=make_audit(settings, changes, keys).checkpoint,
            sweep_previews=PreviewExpiry(changes).sweep,
            delete_files=FileRemoval(changes, FolderFileBytes(settings.data / "files")).delete_due,
        )
