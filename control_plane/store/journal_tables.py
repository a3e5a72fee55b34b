"""The tables that every change writes beside its own: audit, outbox, counters, answers to repeats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Index, String, Table, Text

from control_plane.store.columns import identifier, json_column, number_column, text_column
from control_plane.store.tables import metadata

__all__ = ["audit_entries", "audit_heads", "counters", "idempotency_keys", "outbox"]

audit_entries = Table(
    "audit_entries",
    metadata,
    text_column("organization", key=True),
    number_column("sequence", key=True),
    text_column("id"),
    number_column("at_ms"),
    json_column("actor", Mapping[str, str]),
    text_column("action"),
    text_column("subject"),
    text_column("outcome"),
    text_column("request"),
    json_column("details", Mapping[str, Any]),
    text_column("previous"),
    text_column("hash"),
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
    "audit_heads",
    metadata,
    text_column("organization", key=True),
    number_column("sequence"),
    text_column("hash"),
)

outbox = Table(
    "outbox",
    metadata,
    identifier(),
    text_column("organization"),
    text_column("type"),
    text_column("subject"),
    number_column("time_ms"),
    json_column("data", Mapping[str, Any]),
    # 0 until the relay has given the event its place.
    number_column("sequence"),
    Index("outbox_sequence", "sequence"),
    Index("outbox_organization", "organization", "sequence"),
    Index("outbox_type", "organization", "type", "sequence"),
    Index("outbox_subject", "organization", "subject", "sequence"),
    Index("outbox_time", "organization", "time_ms", "sequence"),
)

counters = Table("counters", metadata, text_column("name", key=True), number_column("value"))

# The first attempt with each Idempotency-Key, for a day.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    text_column("organization", key=True),
    text_column("user", key=True),
    text_column("key", key=True),
    text_column("fingerprint"),
    number_column("created_ms"),
    number_column("status"),
    Column("answer", Text, nullable=False),
    Index("idempotency_keys_created", "created_ms"),
)
