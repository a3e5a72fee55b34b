"""Rows whose time is over, and which content the rows that stay need.

Every statement names the newest time to remove and a limit, and uses an index.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    Table,
    cast,
    delete,
    func,
    select,
    tuple_,
    update,
)

from control_plane.domain.ids import make_id
from control_plane.domain.retention import Content, Removal
from control_plane.store.function_tables import drafts, functions, test_runs
from control_plane.store.identity_tables import api_keys, credentials, organizations
from control_plane.store.journal_tables import idempotency_keys, outbox
from control_plane.store.retention_tables import unneeded_content
from control_plane.store.tables import metadata

__all__ = ["KINDS", "REFERENCING", "RetentionRows", "referencing_tables"]

# Columns that name blobs or layers, in whatever table they stand.
REFERENCING: Final = frozenset({"files", "layers", "image", "sbom"})
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class _Kind:
    table: Table
    over: Callable[[int], tuple[ColumnElement[bool], ...]]
    # What makes most of a row's size.
    heavy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NeededPage:
    """What some rows name; `after` is the key behind them, empty at the end."""

    digests: set[str]
    # Those among them that are images, which consist of more.
    images: set[str]
    after: str


def _made_before(table: Table, noun: str) -> Callable[[int], tuple[ColumnElement[bool], ...]]:
    # Ids begin with the time at which they were made, so the primary key finds the old ones.
    return lambda before: (table.c.id < make_id(noun, max(before, 0), 0),)


KINDS: Final[Mapping[str, _Kind]] = {
    "test_runs": _Kind(test_runs, _made_before(test_runs, "test_run"), ("body", "logs", "import_profile")),
    "events": _Kind(
        outbox, lambda before: (*_made_before(outbox, "event")(before), outbox.c.sequence > 0), ("data",)
    ),
    "expired_credentials": _Kind(
        credentials, lambda before: (credentials.c.expires_ms > 0, credentials.c.expires_ms < before)
    ),
    "revoked_credentials": _Kind(
        credentials, lambda before: (credentials.c.revoked_ms > 0, credentials.c.revoked_ms < before)
    ),
    "expired_keys": _Kind(
        api_keys, lambda before: (api_keys.c.expires_ms > 0, api_keys.c.expires_ms < before)
    ),
    # A revoked key stays until its open sessions were ended.
    "revoked_keys": _Kind(
        api_keys,
        lambda before: (api_keys.c.revoked_ms > 0, api_keys.c.revoked_ms < before, ~api_keys.c.to_cut),
    ),
    "idempotency_keys": _Kind(
        idempotency_keys, lambda before: (idempotency_keys.c.created_ms < before,), ("answer",)
    ),
}


class RetentionRows:
    """What a clean-up reads and removes, over all tenants."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def over(self, kind: str, before_ms: int) -> Removal:
        """Return how many rows of a kind are over, and about how many bytes they hold."""
        known = KINDS[kind]
        # The texts as they are stored; lengths of other columns are small beside them.
        sizes = [func.coalesce(func.length(cast(known.table.c[name], String)), 0) for name in known.heavy]
        size = func.coalesce(func.sum(sum(sizes[1:], sizes[0])), 0) if sizes else func.count() * 0
        statement = select(func.count(), size).select_from(known.table).where(*known.over(before_ms))
        count, size_found = self._connection.execute(statement).one()
        return Removal(kind, int(count), int(size_found))

    def remove(self, kind: str, before_ms: int, limit: int) -> int:
        """Delete up to `limit` rows of a kind; return how many went."""
        table, over = KINDS[kind].table, KINDS[kind].over
        key = tuple(table.primary_key.columns)
        doomed = select(*key).where(*over(before_ms)).limit(limit)
        which = key[0].in_(doomed) if len(key) == 1 else tuple_(*key).in_(doomed)
        return int(self._connection.execute(delete(table).where(which)).rowcount)

    def over_drafts(self, before_ms: int) -> Removal:
        """Return how many drafts that hold files belong to functions that were taken down before."""
        statement = select(func.count()).select_from(drafts).where(drafts.c.function.in_(_left(before_ms)))
        return Removal("drafts", int(self._connection.execute(statement).scalar_one()))

    def empty_drafts(self, before_ms: int, limit: int) -> int:
        """Take the files out of up to `limit` such drafts; what nothing else names goes with the content.

        The rows stay, as every function has a draft, under a revision that no editor has seen.
        """
        left = drafts.c.function.in_(_left(before_ms).limit(limit))
        emptied = {"files": (), "lock": "", "revision": drafts.c.revision + 1}
        return int(self._connection.execute(update(drafts).where(left).values(emptied)).rowcount)

    def needed(self, table: str, after: str) -> NeededPage:
        """Return what a page of a table's rows names."""
        rows = metadata.tables[table]
        (key,) = rows.primary_key.columns
        names = sorted(REFERENCING & set(rows.c.keys()))
        # Read as they are stored: what a value means today need not be known to keep what it names.
        texts = [cast(rows.c[name], String).label(name) for name in names]
        statement = select(key.label("key"), *texts).where(key > after).order_by(key).limit(_PAGE)
        page = self._connection.execute(statement).mappings().all()
        return NeededPage(
            digests={digest for row in page for name in names for digest in _DIGEST.findall(row[name] or "")},
            images={row["image"] for row in page if row.get("image")},
            after=page[-1]["key"] if len(page) == _PAGE else "",
        )

    def unneeded(self) -> dict[tuple[str, str], int]:
        """Return since when each content was seen to be unneeded."""
        rows = self._connection.execute(select(unneeded_content))
        return {(row.kind, row.digest): row.since_ms for row in rows}

    def notice(self, contents: Iterable[Content], now_ms: int) -> None:
        """Remember content that nothing needs from now on."""
        rows = [{"kind": one.kind, "digest": one.digest, "since_ms": now_ms} for one in contents]
        if rows:
            self._connection.execute(unneeded_content.insert(), rows)

    def forget(self, keys: Iterable[tuple[str, str]]) -> None:
        """Forget content that is needed again or gone."""
        table = unneeded_content.c
        for kind, digest in keys:
            self._connection.execute(
                delete(unneeded_content).where(table.kind == kind, table.digest == digest)
            )


def _left(before_ms: int) -> Select[tuple[str]]:
    # By organization, as the index of updates is; nobody has touched them since they were taken down.
    return (
        select(drafts.c.function)
        .join(functions, functions.c.id == drafts.c.function)
        .where(
            functions.c.organization.in_(select(organizations.c.id)),
            functions.c.updated_ms < before_ms,
            functions.c.removed_ms > 0,
            cast(drafts.c.files, String) != "[]",
        )
    )


def referencing_tables() -> Iterator[str]:
    """Yield the tables with a column that names blobs or layers."""
    for name, table in sorted(metadata.tables.items()):
        if REFERENCING & set(table.c.keys()):
            yield name
