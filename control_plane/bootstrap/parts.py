"""Parts that both the api and the worker are made of."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
from collections.abc import Callable, Mapping
from typing import Any

from control_plane.adapters.embedded.anchor import Ed25519Signer, FileAnchor
from control_plane.adapters.embedded.clock import SystemClock, SystemEntropy
from control_plane.adapters.embedded.runtime import EmbeddedRuntime
from control_plane.bootstrap.databases import control_engine
from control_plane.bootstrap.storage import make_layers
from control_plane.domain.files import Quota
from control_plane.ports import Runtime
from control_plane.services.audit import Audit
from control_plane.services.changes import Changes
from control_plane.settings import Settings, settings_from_document
from control_plane.store.engine import CACHE_MB
from control_plane.store.unit_of_work import Store

__all__ = ["file_quota", "key", "make_audit", "make_changes", "make_poke", "make_runtime", "read_settings"]


def read_settings(document: Mapping[str, Any]) -> Settings:
    """Return the settings in a role's document."""
    return settings_from_document(json.dumps(document))


def make_changes(settings: Settings, *, cache_mb: int = CACHE_MB) -> Changes:
    """Return the unit of every change, on the control database; `cache_mb` is SQLite's, for a connection."""
    store = Store(control_engine(settings, cache_mb=cache_mb))
    return Changes(store, SystemClock(), SystemEntropy(), make_poke(settings))


def make_runtime(settings: Settings) -> Runtime:
    """Return the runtime of this machine."""
    runtime = EmbeddedRuntime(settings.data / "host", settings.run)
    layers = make_layers(settings)
    if layers is None:
        return runtime
    from control_plane.adapters.cluster.restoring_runtime import RestoringRuntime

    return RestoringRuntime(runtime, layers)


def make_audit(settings: Settings, changes: Changes, keys: Mapping[str, str]) -> Audit:
    """Return the audit chains with the key that signs their checkpoints."""
    anchor = FileAnchor(settings.data / "audit" / "checkpoints.jsonl")
    return Audit(changes, Ed25519Signer(key(keys, "audit")), anchor)


def file_quota(settings: Settings) -> Quota:
    """Return what the files of one project may take."""
    megabyte, files = 1_000_000, settings.files
    return Quota(files.largest_mb * megabyte, files.project_mb * megabyte, files.project_count)


def key(keys: Mapping[str, str], name: str) -> bytes:
    """Return one inherited key."""
    return base64.b64decode(keys[name])


def make_poke(settings: Settings) -> Callable[[], None]:
    """Return how to wake the worker; it also looks by itself, so a lost poke costs a second."""
    path = str(settings.run / "worker.sock")

    def poke() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, contextlib.suppress(OSError):
            channel.setblocking(False)
            channel.sendto(b"look", path)

    return poke
