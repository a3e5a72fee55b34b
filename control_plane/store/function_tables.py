"""The tables of a function's life: drafts, test runs, versions, reviews, releases and their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, Column, Index, String, Table, Text, UniqueConstraint

from control_plane.domain.functions import Declaration, DraftFile
from control_plane.domain.identity import ReviewPolicy
from control_plane.domain.release_guards import Guard
from control_plane.domain.releases import Condition, ReleasePart, ReleaseState, Throttle
from control_plane.domain.review_comments import Comment
from control_plane.domain.review_policies import Risk
from control_plane.domain.reviews import Approval, ReviewKind, ReviewState
from control_plane.domain.values import Stage, ValueKind
from control_plane.domain.versions import VersionState
from control_plane.store.codec import Enumerated
from control_plane.store.columns import identifier, json_column, number_column, text_column
from control_plane.store.tables import metadata

__all__ = [
    "draft_edits",
    "drafts",
    "functions",
    "named_values",
    "releases",
    "reviews",
    "test_runs",
    "versions",
]

functions = Table(
    "functions",
    metadata,
    identifier(),
    text_column("organization"),
    text_column("project"),
    text_column("name"),
    text_column("title"),
    text_column("created_by"),
    number_column("created_ms"),
    number_column("latest"),
    number_column("removed_ms"),
    Column("description", Text, nullable=False),
    json_column("labels", Mapping[str, str]),
    number_column("revision"),
    number_column("updated_ms"),
    text_column("runtime"),
    UniqueConstraint("organization", "name", name="functions_name"),
    Index("functions_project", "organization", "project", "id"),
    Index("functions_created", "organization", "id"),
    Index("functions_updated", "organization", "updated_ms", "id"),
)

drafts = Table(
    "drafts",
    metadata,
    text_column("function", key=True),
    text_column("organization"),
    text_column("project"),
    number_column("revision"),
    json_column("files", tuple[DraftFile, ...]),
    Column("lock", Text, nullable=False),
    text_column("updated_by"),
    number_column("updated_ms"),
)

draft_edits = Table(
    "draft_edits",
    metadata,
    text_column("function", key=True),
    number_column("revision", key=True),
    text_column("organization"),
    text_column("user"),
    text_column("email"),
    number_column("at_ms"),
    text_column("what"),
)

test_runs = Table(
    "test_runs",
    metadata,
    identifier(),
    text_column("organization"),
    text_column("project"),
    text_column("function"),
    number_column("revision"),
    text_column("digest"),
    text_column("created_by"),
    number_column("created_ms"),
    text_column("state"),
    number_column("status"),
    json_column("headers", tuple[tuple[str, str], ...]),
    Column("body", Text, nullable=False),
    json_column("logs", tuple[Any, ...]),
    number_column("duration_us"),
    number_column("import_us"),
    json_column("import_profile", tuple[tuple[str, int, int], ...]),
    number_column("peak_kb"),
    text_column("code"),
    Column("message", Text, nullable=False),
    number_column("deadline_ms"),
    Index("test_runs_function", "organization", "function", "id"),
)

versions = Table(
    "versions",
    metadata,
    identifier(),
    text_column("organization"),
    text_column("project"),
    text_column("function"),
    number_column("number"),
    text_column("digest"),
    Column("manifest_text", Text, nullable=False),
    json_column("declaration", Declaration),
    json_column("files", tuple[DraftFile, ...]),
    Column("lock", Text, nullable=False),
    json_column("layers", Mapping[str, str]),
    text_column("image"),
    text_column("sbom"),
    number_column("revision"),
    json_column("authors", tuple[tuple[str, str], ...]),
    text_column("created_by"),
    number_column("created_ms"),
    Column("state", Enumerated(VersionState), nullable=False),
    number_column("published_ms"),
    Column("reason", Text, nullable=False),
    UniqueConstraint("function", "number", name="versions_number"),
    UniqueConstraint("function", "digest", name="versions_digest"),
    # Holds all that the reconciler asks about what was taken down.
    Index("versions_state", "state", "function", "digest"),
)

reviews = Table(
    "reviews",
    metadata,
    identifier(),
    text_column("organization"),
    text_column("project"),
    text_column("function"),
    text_column("version"),
    number_column("number"),
    text_column("digest"),
    Column("state", Enumerated(ReviewState), nullable=False),
    text_column("submitter"),
    text_column("submitter_email"),
    json_column("authors", tuple[tuple[str, str], ...]),
    number_column("required"),
    Column("note", Text, nullable=False),
    number_column("created_ms"),
    json_column("approvals", tuple[Approval, ...]),
    json_column("comments", tuple[Comment, ...]),
    text_column("decided_by"),
    number_column("decided_ms"),
    Column("reason", Text, nullable=False),
    Column("kind", Enumerated(ReviewKind), nullable=False),
    json_column("policy", ReviewPolicy),
    text_column("base"),
    json_column("paths", tuple[str, ...]),
    json_column("risks", tuple[Risk, ...]),
    Index("reviews_function", "organization", "function", "id"),
    Index("reviews_version", "version"),
    Index("reviews_organization", "organization", "id"),
    Index("reviews_state", "organization", "state", "id"),
    Index("reviews_submitter", "organization", "submitter", "id"),
)

releases = Table(
    "releases",
    metadata,
    identifier(),
    text_column("organization"),
    text_column("project"),
    text_column("function"),
    number_column("number"),
    text_column("digest"),
    json_column("parts", tuple[ReleasePart, ...]),
    json_column("throttle", Throttle),
    text_column("created_by"),
    number_column("created_ms"),
    Column("unreviewed", Boolean, nullable=False),
    number_column("rollback_of"),
    Column("note", Text, nullable=False),
    Column("state", Enumerated(ReleaseState), nullable=False),
    json_column("conditions", tuple[Condition, ...]),
    number_column("live_ms"),
    number_column("ended_ms"),
    text_column("created_by_name"),
    json_column("guard", Guard | None),
    number_column("watch_until_ms"),
    Column("trace", String, nullable=False, server_default=""),
    UniqueConstraint("function", "number", name="releases_number"),
    Index("releases_state", "state"),
    # Few rows lie ahead: the releases that a guard watches.
    Index("releases_watched", "watch_until_ms"),
    Index("releases_function", "function", "state"),
    Index("releases_project", "organization", "project", "state"),
)

# `values` is a word of SQL itself.
named_values = Table(
    "named_values",
    metadata,
    identifier(),
    text_column("organization"),
    text_column("project"),
    Column("kind", Enumerated(ValueKind), nullable=False),
    Column("stage", Enumerated(Stage), nullable=False),
    text_column("name"),
    number_column("number"),
    Column("content", Text, nullable=False),
    text_column("created_by"),
    number_column("created_ms"),
    Column("removed", Boolean, nullable=False),
    # Empty: every function of the project reads it.
    text_column("function"),
    UniqueConstraint("project", "function", "kind", "stage", "name", "number", name="named_values_number"),
)
