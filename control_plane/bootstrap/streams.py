"""The services of the streams process: it reads who somebody is and what happened, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.adapters.embedded.passwords import ArgonPasswords
from control_plane.bootstrap.parts import make_changes, make_runtime, read_settings
from control_plane.services.events import Events
from control_plane.services.release_reads import ReleaseReads
from control_plane.services.run_watch import RunWatch
from control_plane.services.sessions import Sessions

__all__ = ["StreamServices", "build_stream_services"]


@dataclass(frozen=True, slots=True)
class StreamServices:
    """What a stream needs."""

    sessions: Sessions
    events: Events
    runs: RunWatch
    releases: ReleaseReads


def build_stream_services(document: Mapping[str, Any]) -> StreamServices:
    """Return the services; no key is needed to read."""
    settings = read_settings(document)
    changes = make_changes(settings)
    return StreamServices(
        sessions=Sessions(changes, ArgonPasswords()),
        events=Events(changes),
        runs=RunWatch(changes, make_runtime(settings)),
        releases=ReleaseReads(changes),
    )
