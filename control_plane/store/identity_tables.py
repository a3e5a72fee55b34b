"""The tables of who there is and what they may: organizations, projects, users, rights, credentials."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, UniqueConstraint, text

from control_plane.domain.access import Restriction, Role
from control_plane.domain.credentials import CredentialKind, KeyKind, KeyMode
from control_plane.domain.identity import ReviewPolicy
from control_plane.store.codec import Enumerated
from control_plane.store.columns import identifier, json_column, number_column, text_column
from control_plane.store.tables import metadata

__all__ = ["api_keys", "bindings", "credentials", "login_failures", "organizations", "projects", "users"]

users = Table(
    "users",
    metadata,
    identifier(),
    Column("email", String, nullable=False, unique=True),
    text_column("name"),
    text_column("verified_by"),
    Column("must_change_password", Boolean, nullable=False),
    number_column("created_ms"),
    Column("disabled", Boolean, nullable=False),
    text_column("password_hash"),
)

organizations = Table(
    "organizations",
    metadata,
    identifier(),
    Column("name", String, nullable=False, unique=True),
    text_column("title"),
    number_column("created_ms"),
    Column("revision", Integer, nullable=False),
)

projects = Table(
    "projects",
    metadata,
    identifier(),
    text_column("organization"),
    text_column("name"),
    text_column("title"),
    json_column("policy", ReviewPolicy),
    json_column("path", tuple[str, ...]),
    number_column("created_ms"),
    Column("revision", Integer, nullable=False),
    UniqueConstraint("organization", "name", name="projects_name"),
)

bindings = Table(
    "bindings",
    metadata,
    # Empty for the whole system.
    text_column("organization", key=True),
    text_column("user", key=True),
    Column("role", Enumerated(Role), primary_key=True),
    text_column("scope", key=True),
    Index("bindings_user", "user"),
)

login_failures = Table(
    "login_failures",
    metadata,
    # An address of a person, or `ip:` and one of the network.
    text_column("email", key=True),
    number_column("failures"),
    number_column("last_ms"),
    Index("login_failures_last", "last_ms"),
)

credentials = Table(
    "credentials",
    metadata,
    identifier(),
    Column("kind", Enumerated(CredentialKind), nullable=False),
    text_column("user"),
    text_column("organization"),
    text_column("name"),
    Column("sha256", String, nullable=False, unique=True),
    text_column("hint"),
    number_column("created_ms"),
    number_column("expires_ms"),
    number_column("revoked_ms"),
    number_column("used_ms"),
    text_column("address"),
    json_column("restriction", Restriction | None),
    Index("credentials_user", "user", "kind"),
    Index("credentials_kind", "kind", "organization"),
    Index("credentials_expires", "expires_ms"),
    Index("credentials_revoked", "revoked_ms"),
)

api_keys = Table(
    "api_keys",
    metadata,
    identifier(),
    text_column("organization"),
    text_column("project"),
    text_column("name"),
    Column("kind", Enumerated(KeyKind), nullable=False),
    Column("sha256", String, nullable=False, unique=True),
    text_column("hint"),
    json_column("scopes", tuple[str, ...]),
    number_column("rate_10s"),
    number_column("concurrency"),
    text_column("created_by"),
    number_column("created_ms"),
    number_column("expires_ms"),
    number_column("revoked_ms"),
    number_column("cut_ms"),
    Column("to_cut", Boolean, nullable=False),
    json_column("modes", tuple[KeyMode, ...]),
    json_column("networks", tuple[str, ...]),
    text_column("previous_sha256"),
    text_column("previous_hint"),
    number_column("previous_until_ms"),
    Column("revision", Integer, nullable=False),
    Index("api_keys_project", "organization", "project", "id"),
    # Few rows: those whose open sessions are still to be ended.
    Index("api_keys_to_cut", "id", sqlite_where=text("to_cut = 1"), postgresql_where=text("to_cut")),
    Index("api_keys_revoked", "revoked_ms"),
    Index("api_keys_expires", "expires_ms"),
)
