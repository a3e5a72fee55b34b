"""Rows of what happened: audit chains, the outbox and the counters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, bindparam, func, select, update

from control_plane.domain.audit import AuditEntry
from control_plane.domain.events import Event
from control_plane.domain.list_filters import EventFilter
from control_plane.store.journal_tables import audit_entries, audit_heads, counters, outbox
from control_plane.store.prepared import change_rows, find_rows
from control_plane.store.rows import Rows, insert_missing

__all__ = ["AuditFilter", "AuditRows", "CounterRows", "OutboxRows"]

# Two events come in the order of their times, or their transactions were open at once; none is this long.
_OPEN_AT_ONCE_MS: Final = 60_000
_EVERY: Final = EventFilter()

# Every change sends these, so they are built once.
_LOCK: Final = (
    select(audit_heads.c.sequence, audit_heads.c.hash)
    .where(audit_heads.c.organization == bindparam("of"))
    .with_for_update()
)
_MOVE: Final = (
    update(audit_heads)
    .where(audit_heads.c.organization == bindparam("of"))
    .values(sequence=bindparam("to"), hash=bindparam("with"))
)
_NEXT: Final = (
    update(counters)
    .where(counters.c.name == bindparam("of"))
    .values(value=counters.c.value + bindparam("count"))
    .returning(counters.c.value)
)
_PLACE: Final = update(outbox).where(outbox.c.id == bindparam("of")).values(sequence=bindparam("to"))


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are meant; empty fields mean all. The end of the time is exclusive."""

    # A user's id.
    actor: str = ""
    action: str = ""
    subject: str = ""
    # The request id of the API call that did it.
    request: str = ""
    start_ms: int = 0
    end_ms: int = 0


class AuditRows:
    """One hash chain for each organization; entries are only ever added."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._entries = Rows(connection, audit_entries, AuditEntry)
        # The heads of the chains that this transaction holds, which nobody else moves.
        self._held: dict[str, tuple[int, str]] = {}

    def lock(self, organization: str) -> None:
        """Let nobody else change anything of this organization until the transaction ends."""
        of = {"of": organization}
        found = find_rows(self._connection, _LOCK, of)
        if not found:
            row = {"organization": organization, "sequence": 0, "hash": ""}
            insert_missing(self._connection, audit_heads, [row])
            found = find_rows(self._connection, _LOCK, of)
        sequence, digest = found[0]
        self._held[organization] = sequence, digest

    def head(self, organization: str) -> tuple[int, str]:
        """Return the last entry's sequence and hash, 0 and "" before the first, of a chain that is locked."""
        return self._held[organization]

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Remember the heads before a savepoint: the database takes them back with the savepoint."""
        before = dict(self._held)
        try:
            yield
        except BaseException:
            self._held = before
            raise

    def heads(self) -> tuple[tuple[str, int, str], ...]:
        """Return (organization, sequence, hash) of every chain."""
        statement = select(audit_heads.c.organization, audit_heads.c.sequence, audit_heads.c.hash)
        rows = self._connection.execute(statement.order_by(audit_heads.c.organization))
        return tuple((row.organization, row.sequence, row.hash) for row in rows if row.sequence)

    def append(self, entry: AuditEntry, digest: str) -> None:
        """Insert the entry with its hash and move the head."""
        self._entries.add(replace(entry, hash=digest), actor_user=entry.actor.get("user", ""))
        moved = {"of": entry.organization, "to": entry.sequence, "with": digest}
        change_rows(self._connection, _MOVE, moved)
        self._held[entry.organization] = entry.sequence, digest

    def entries(self, organization: str, after: int, limit: int | None) -> tuple[AuditEntry, ...]:
        """Return a chain's entries behind a sequence number, oldest first."""
        return self.search(organization, AuditFilter(), after, limit)

    def search(
        self,
        organization: str,
        wanted: AuditFilter,
        after: int,
        limit: int | None,
        *,
        newest_first: bool = False,
    ) -> tuple[AuditEntry, ...]:
        """Return the entries that fit, behind a sequence number in the order that is asked for; 0 begins."""
        columns = audit_entries.c
        statement = self._entries.select(columns.organization == organization)
        for column, value in (
            (columns.actor_user, wanted.actor),
            (columns.action, wanted.action),
            (columns.subject, wanted.subject),
            (columns.request, wanted.request),
        ):
            if value:
                statement = statement.where(column == value)
        if wanted.start_ms:
            first = self._first_since(organization, wanted.start_ms)
            statement = statement.where(columns.sequence >= first, columns.at_ms >= wanted.start_ms)
        if wanted.end_ms:
            behind = self._first_since(organization, wanted.end_ms)
            statement = statement.where(columns.sequence < behind, columns.at_ms < wanted.end_ms)
        if newest_first:
            if after:
                statement = statement.where(columns.sequence < after)
            return self._entries.all(statement.order_by(columns.sequence.desc()).limit(limit))
        statement = statement.where(columns.sequence > after)
        return self._entries.all(statement.order_by(columns.sequence).limit(limit))

    def _first_since(self, organization: str, at_ms: int) -> int:
        """Return the sequence of the first entry since a time, or what is behind every entry.

        A chain is in the order of time, so a span of time is a span of it.
        """
        columns = audit_entries.c
        statement = (
            select(columns.sequence)
            .where(columns.organization == organization, columns.at_ms >= at_ms)
            .order_by(columns.at_ms, columns.sequence)
            .limit(1)
        )
        found = self._connection.execute(statement).scalar()
        return 1 << 62 if found is None else int(found)


class OutboxRows:
    """Events, committed with the change that they tell of."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._events = Rows(connection, outbox, Event)

    def add(self, event: Event) -> None:
        """Insert an event."""
        self._events.add(event)

    def waiting(self, limit: int) -> tuple[Event, ...]:
        """Return committed events without a place, in the order of their ids."""
        return self._events.all(
            self._events.select(outbox.c.sequence == 0).order_by(outbox.c.id).limit(limit)
        )

    def place(self, event: Event, sequence: int) -> None:
        """Give an event its place in the public order."""
        change_rows(self._connection, _PLACE, {"of": event.id, "to": sequence})

    def after(
        self, organization: str, cursor: int, limit: int, wanted: EventFilter = _EVERY
    ) -> tuple[Event, ...]:
        """Return a tenant's events behind a cursor that fit."""
        behind = max(cursor, 0)
        if wanted.since_ms:
            behind = max(behind, self._first_since(organization, wanted.since_ms) - 1)
        statement = self._events.select(outbox.c.organization == organization, outbox.c.sequence > behind)
        if wanted.since_ms:
            statement = statement.where(outbox.c.time_ms >= wanted.since_ms)
        if wanted.types:
            statement = statement.where(outbox.c.type.in_(wanted.types))
        if wanted.subject:
            statement = statement.where(outbox.c.subject == wanted.subject)
        return self._events.all(statement.order_by(outbox.c.sequence).limit(limit))

    def _first_since(self, organization: str, at_ms: int) -> int:
        """Return a place that no event since a time lies before; behind all when there is none."""
        own, times = outbox.c.organization == organization, outbox.c.time_ms
        earliest = select(times).where(own, times >= at_ms, outbox.c.sequence > 0).order_by(times).limit(1)
        first_ms = self._connection.execute(earliest).scalar()
        if first_ms is None:
            return 1 << 62
        near = times.between(first_ms, first_ms + _OPEN_AT_ONCE_MS)
        statement = select(func.min(outbox.c.sequence)).where(own, near, outbox.c.sequence > 0)
        return int(self._connection.execute(statement).scalar_one())

    def last_sequence(self, organization: str) -> int:
        """Return the place of a tenant's newest event, or 0."""
        statement = select(func.max(outbox.c.sequence)).where(outbox.c.organization == organization)
        return int(self._connection.execute(statement).scalar_one() or 0)

    def last_sequences(self, after: int) -> dict[str, int]:
        """Return the place of each tenant's newest event behind a place, of those that have one there."""
        statement = select(outbox.c.organization, func.max(outbox.c.sequence).label("sequence"))
        rows = self._connection.execute(
            statement.where(outbox.c.sequence > after).group_by(outbox.c.organization)
        )
        return {row.organization: int(row.sequence) for row in rows}


class CounterRows:
    """Numbers that only grow."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def next(self, name: str, count: int = 1) -> int:
        """Return the next number, from 1; of several at once, the last one."""
        wanted = {"of": name, "count": count}
        found = find_rows(self._connection, _NEXT, wanted)
        if not found:
            insert_missing(self._connection, counters, [{"name": name, "value": 0}])
            found = find_rows(self._connection, _NEXT, wanted)
        return int(found[0][0])

    def value(self, name: str) -> int:
        """Return the present number; 0 before the first."""
        statement = select(counters.c.value).where(counters.c.name == name)
        return int(self._connection.execute(statement).scalar() or 0)
