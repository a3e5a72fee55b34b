"""The tables of the control database. Column names are the field names of the domain's dataclasses.

Times are Unix milliseconds, UTC. Statements live in the row modules, never here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from control_plane.domain.access import Restriction, Role
from control_plane.domain.credentials import CredentialKind, KeyKind, KeyMode
from control_plane.domain.functions import Declaration, DraftFile
from control_plane.domain.identity import ReviewPolicy
from control_plane.domain.release_guards import Guard
from control_plane.domain.releases import Condition, ReleasePart, ReleaseState, Throttle
from control_plane.domain.review_comments import Comment
from control_plane.domain.review_policies import Risk
from control_plane.domain.reviews import Approval, ReviewKind, ReviewState
from control_plane.domain.values import Stage, ValueKind
from control_plane.domain.versions import VersionState
from control_plane.store.codec import Enumerated, Json

__all__ = [
    "CONTROL_SCHEMA",
    "api_keys",
    "audit_entries",
    "audit_heads",
    "bindings",
    "counters",
    "credentials",
    "draft_edits",
    "drafts",
    "functions",
    "idempotency_keys",
    "login_failures",
    "metadata",
    "named_values",
    "organizations",
    "outbox",
    "projects",
    "releases",
    "reviews",
    "test_runs",
    "users",
    "versions",
]

CONTROL_SCHEMA: Final = "control"

metadata = MetaData()


def _id() -> Column[str]:
    return Column("id", String, primary_key=True)


def _text(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, String, primary_key=key, nullable=False)


def _number(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=False, autoincrement=False)


def _json(name: str, hint: Any) -> Column[Any]:
    return Column(name, Json(hint), nullable=False)


users = Table(
    "users",
    metadata,
    _id(),
    Column("email", String, nullable=False, unique=True),
    _text("name"),
    _text("verified_by"),
    Column("must_change_password", Boolean, nullable=False),
    _number("created_ms"),
    Column("disabled", Boolean, nullable=False),
    _text("password_hash"),
)

organizations = Table(
    "organizations",
    metadata,
    _id(),
    Column("name", String, nullable=False, unique=True),
    _text("title"),
    _number("created_ms"),
    Column("revision", Integer, nullable=False),
)

projects = Table(
    "projects",
    metadata,
    _id(),
    _text("organization"),
    _text("name"),
    _text("title"),
    _json("policy", ReviewPolicy),
    _json("path", tuple[str, ...]),
    _number("created_ms"),
    Column("revision", Integer, nullable=False),
    UniqueConstraint("organization", "name", name="projects_name"),
)

bindings = Table(
    "bindings",
    metadata,
    # Empty for the whole system.
    _text("organization", key=True),
    _text("user", key=True),
    Column("role", Enumerated(Role), primary_key=True),
    _text("scope", key=True),
    Index("bindings_user", "user"),
)

login_failures = Table(
    "login_failures",
    metadata,
    # An address of a person, or `ip:` and one of the network.
    _text("email", key=True),
    _number("failures"),
    _number("last_ms"),
    Index("login_failures_last", "last_ms"),
)

credentials = Table(
    "credentials",
    metadata,
    _id(),
    Column("kind", Enumerated(CredentialKind), nullable=False),
    _text("user"),
    _text("organization"),
    _text("name"),
    Column("sha256", String, nullable=False, unique=True),
    _text("hint"),
    _number("created_ms"),
    _number("expires_ms"),
    _number("revoked_ms"),
    _number("used_ms"),
    _text("address"),
    _json("restriction", Restriction | None),
    Index("credentials_user", "user", "kind"),
    Index("credentials_kind", "kind", "organization"),
    Index("credentials_expires", "expires_ms"),
    Index("credentials_revoked", "revoked_ms"),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    _text("organization"),
    _text("project"),
    _text("name"),
    Column("kind", Enumerated(KeyKind), nullable=False),
    Column("sha256", String, nullable=False, unique=True),
    _text("hint"),
    _json("scopes", tuple[str, ...]),
    _number("rate_10s"),
    _number("concurrency"),
    _text("created_by"),
    _number("created_ms"),
    _number("expires_ms"),
    _number("revoked_ms"),
    _number("cut_ms"),
    Column("to_cut", Boolean, nullable=False),
    _json("modes", tuple[KeyMode, ...]),
    _json("networks", tuple[str, ...]),
    _text("previous_sha256"),
    _text("previous_hint"),
    _number("previous_until_ms"),
    Column("revision", Integer, nullable=False),
    Index("api_keys_project", "organization", "project", "id"),
    # Few rows: those whose open sessions are still to be ended.
    Index("api_keys_to_cut", "id", sqlite_where=text("to_cut = 1"), postgresql_where=text("to_cut")),
    Index("api_keys_revoked", "revoked_ms"),
    Index("api_keys_expires", "expires_ms"),
)

functions = Table(
    "functions",
    metadata,
    _id(),
    _text("organization"),
    _text("project"),
    _text("name"),
    _text("title"),
    _text("created_by"),
    _number("created_ms"),
    _number("latest"),
    _number("removed_ms"),
    Column("description", Text, nullable=False),
    _json("labels", Mapping[str, str]),
    _number("revision"),
    _number("updated_ms"),
    _text("runtime"),
    UniqueConstraint("organization", "name", name="functions_name"),
    Index("functions_project", "organization", "project", "id"),
    Index("functions_created", "organization", "id"),
    Index("functions_updated", "organization", "updated_ms", "id"),
)

drafts = Table(
    "drafts",
    metadata,
    _text("function", key=True),
    _text("organization"),
    _text("project"),
    _number("revision"),
    _json("files", tuple[DraftFile, ...]),
    Column("lock", Text, nullable=False),
    _text("updated_by"),
    _number("updated_ms"),
)

draft_edits = Table(
    "draft_edits",
    metadata,
    _text("function", key=True),
    _number("revision", key=True),
    _text("organization"),
    _text("user"),
    _text("email"),
    _number("at_ms"),
    _text("what"),
)

test_runs = Table(
    "test_runs",
    metadata,
    _id(),
    _text("organization"),
    _text("project"),
    _text("function"),
    _number("revision"),
    _text("digest"),
    _text("created_by"),
    _number("created_ms"),
    _text("state"),
    _number("status"),
    _json("headers", tuple[tuple[str, str], ...]),
    Column("body", Text, nullable=False),
    _json("logs", tuple[Any, ...]),
    _number("duration_us"),
    _number("import_us"),
    _json("import_profile", tuple[tuple[str, int, int], ...]),
    _number("peak_kb"),
    _text("code"),
    Column("message", Text, nullable=False),
    _number("deadline_ms"),
    Index("test_runs_function", "organization", "function", "id"),
)

versions = Table(
    "versions",
    metadata,
    _id(),
    _text("organization"),
    _text("project"),
    _text("function"),
    _number("number"),
    _text("digest"),
    Column("manifest_text", Text, nullable=False),
    _json("declaration", Declaration),
    _json("files", tuple[DraftFile, ...]),
    Column("lock", Text, nullable=False),
    _json("layers", Mapping[str, str]),
    _text("image"),
    _text("sbom"),
    _number("revision"),
    _json("authors", tuple[tuple[str, str], ...]),
    _text("created_by"),
    _number("created_ms"),
    Column("state", Enumerated(VersionState), nullable=False),
    _number("published_ms"),
    Column("reason", Text, nullable=False),
    UniqueConstraint("function", "number", name="versions_number"),
    UniqueConstraint("function", "digest", name="versions_digest"),
    # Holds all that the reconciler asks about what was taken down.
    Index("versions_state", "state", "function", "digest"),
)

reviews = Table(
    "reviews",
    metadata,
    _id(),
    _text("organization"),
    _text("project"),
    _text("function"),
    _text("version"),
    _number("number"),
    _text("digest"),
    Column("state", Enumerated(ReviewState), nullable=False),
    _text("submitter"),
    _text("submitter_email"),
    _json("authors", tuple[tuple[str, str], ...]),
    _number("required"),
    Column("note", Text, nullable=False),
    _number("created_ms"),
    _json("approvals", tuple[Approval, ...]),
    _json("comments", tuple[Comment, ...]),
    _text("decided_by"),
    _number("decided_ms"),
    Column("reason", Text, nullable=False),
    Column("kind", Enumerated(ReviewKind), nullable=False),
    _json("policy", ReviewPolicy),
    _text("base"),
    _json("paths", tuple[str, ...]),
    _json("risks", tuple[Risk, ...]),
    Index("reviews_function", "organization", "function", "id"),
    Index("reviews_version", "version"),
    Index("reviews_organization", "organization", "id"),
    Index("reviews_state", "organization", "state", "id"),
    Index("reviews_submitter", "organization", "submitter", "id"),
)

releases = Table(
    "releases",
    metadata,
    _id(),
    _text("organization"),
    _text("project"),
    _text("function"),
    _number("number"),
    _text("digest"),
    _json("parts", tuple[ReleasePart, ...]),
    _json("throttle", Throttle),
    _text("created_by"),
    _number("created_ms"),
    Column("unreviewed", Boolean, nullable=False),
    _number("rollback_of"),
    Column("note", Text, nullable=False),
    Column("state", Enumerated(ReleaseState), nullable=False),
    _json("conditions", tuple[Condition, ...]),
    _number("live_ms"),
    _number("ended_ms"),
    _text("created_by_name"),
    _json("guard", Guard | None),
    _number("watch_until_ms"),
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
    _id(),
    _text("organization"),
    _text("project"),
    Column("kind", Enumerated(ValueKind), nullable=False),
    Column("stage", Enumerated(Stage), nullable=False),
    _text("name"),
    _number("number"),
    Column("content", Text, nullable=False),
    _text("created_by"),
    _number("created_ms"),
    Column("removed", Boolean, nullable=False),
    # Empty: every function of the project reads it.
    _text("function"),
    UniqueConstraint("project", "function", "kind", "stage", "name", "number", name="named_values_number"),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    _text("organization", key=True),
    _number("sequence", key=True),
    _text("id"),
    _number("at_ms"),
    _json("actor", Mapping[str, str]),
    _text("action"),
    _text("subject"),
    _text("outcome"),
    _text("request"),
    _json("details", Mapping[str, Any]),
    _text("previous"),
    _text("hash"),
    # `actor`'s user once more, so that it can be asked for; the hash does not cover it.
    Column("actor_user", String, nullable=False, server_default=""),
    Index("audit_entries_actor_user", "organization", "actor_user", "sequence"),
    Index("audit_entries_action", "organization", "action", "sequence"),
    Index("audit_entries_subject", "organization", "subject", "sequence"),
    Index("audit_entries_request", "organization", "request", "sequence"),
    Index("audit_entries_time", "organization", "at_ms", "sequence"),
)

# One row for each chain: locked by every change, so one organization's changes are serial.
audit_heads = Table(
    "audit_heads", metadata, _text("organization", key=True), _number("sequence"), _text("hash")
)

outbox = Table(
    "outbox",
    metadata,
    _id(),
    _text("organization"),
    _text("type"),
    _text("subject"),
    _number("time_ms"),
    _json("data", Mapping[str, Any]),
    # 0 until the relay has given the event its place.
    _number("sequence"),
    Index("outbox_sequence", "sequence"),
    Index("outbox_organization", "organization", "sequence"),
    Index("outbox_type", "organization", "type", "sequence"),
    Index("outbox_subject", "organization", "subject", "sequence"),
    Index("outbox_time", "organization", "time_ms", "sequence"),
)

counters = Table("counters", metadata, _text("name", key=True), _number("value"))

# The first attempt with each Idempotency-Key, for a day.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    _text("organization", key=True),
    _text("user", key=True),
    _text("key", key=True),
    _text("fingerprint"),
    _number("created_ms"),
    _number("status"),
    Column("answer", Text, nullable=False),
    Index("idempotency_keys_created", "created_ms"),
)
