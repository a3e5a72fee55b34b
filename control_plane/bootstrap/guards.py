"""The guards of releases: they measure in the usage database and plan with this machine's builder."""

from __future__ import annotations

from control_plane.adapters.embedded.images import EmbeddedBuilder
from control_plane.bootstrap.databases import usage_engine
from control_plane.bootstrap.storage import build_folders, make_blobs
from control_plane.services.changes import Changes
from control_plane.services.guarding import Guards
from control_plane.services.release_plans import Planner
from control_plane.settings import Settings
from control_plane.store.guard_figures import GuardFigures

__all__ = ["make_guards"]


def make_guards(settings: Settings, changes: Changes) -> Guards:
    """Return the guards over every release of this installation."""
    builder = EmbeddedBuilder(make_blobs(settings), build_folders(settings))
    usage = usage_engine(settings)
    return Guards(changes, Planner(builder), GuardFigures(usage).measure)
