"""The guards of releases: they measure in the usage database and plan with this machine's builder."""

from __future__ import annotations

from control_plane.adapters.embedded.blobs import FolderBlobs
from control_plane.adapters.embedded.images import EmbeddedBuilder
from control_plane.services.changes import Changes
from control_plane.services.guarding import Guards
from control_plane.services.release_plans import Planner
from control_plane.settings import Settings
from control_plane.store.engine import create_engine
from control_plane.store.guard_figures import GuardFigures
from control_plane.store.usage_tables import USAGE_SCHEMA

__all__ = ["make_guards"]


def make_guards(settings: Settings, changes: Changes) -> Guards:
    """Return the guards over every release of this installation."""
    blob_folder = settings.data / "blobs"
    builder = EmbeddedBuilder(
        FolderBlobs(blob_folder),
        blob_folder=blob_folder,
        layer_folder=settings.data / "layers",
        cache_folder=settings.data / "cache",
    )
    usage = create_engine(settings.usage_url, schema=USAGE_SCHEMA)
    return Guards(changes, Planner(builder), GuardFigures(usage).measure)
