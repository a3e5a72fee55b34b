"""Rows of releases and of the named values that they bind."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, bindparam, func, or_, select

from control_plane.domain.releases import Release, ReleaseState
from control_plane.domain.values import Value, ValueKey
from control_plane.store.function_tables import named_values, releases
from control_plane.store.rows import BEHIND_ALL, Rows, chunks, listed, selecting

__all__ = ["ReleaseRows", "ValueRows"]

_ACTIVE = (ReleaseState.PENDING, ReleaseState.LIVE)
# Every list of releases sends it, so it is built once.
_NEWEST: Final = (
    selecting(releases, Release)
    .where(
        releases.c.organization == bindparam("organization"),
        releases.c.function == bindparam("function"),
        releases.c.number < bindparam("before"),
    )
    .order_by(releases.c.number.desc())
    .limit(bindparam("limit", type_=BigInteger))
)


@cache
def _live_of(count: int) -> Select[Any]:
    return selecting(releases, Release).where(
        releases.c.organization == bindparam("organization"),
        releases.c.function.in_(listed(count)),
        releases.c.state == ReleaseState.LIVE,
    )


class ReleaseRows:
    """The wanted traffic and what became of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._releases = Rows(connection, releases, Release)

    def add(self, release: Release) -> None:
        """Insert a release."""
        self._releases.add(release)

    def update(self, release: Release) -> None:
        """Write a release back."""
        self._releases.update(release, "organization", "id")

    def get(self, organization: str, release: str) -> Release | None:
        """Return a release by id."""
        return self._releases.one(organization=organization, id=release)

    def by_number(self, organization: str, function: str, number: int) -> Release | None:
        """Return a release by its number."""
        return self._releases.one(
            organization=organization,
            function=function,
            number=number,
        )

    def list(self, organization: str, function: str, limit: int, before: int = 0) -> tuple[Release, ...]:
        """Return a function's releases, newest first; `before` is the number behind which to begin."""
        where = {"organization": organization, "function": function, "before": before or BEHIND_ALL}
        return self._releases.prepared(_NEWEST, **where, limit=limit)

    def last_number(self, organization: str, function: str) -> int:
        """Return the newest release's number, or 0."""
        statement = select(func.max(releases.c.number)).where(
            releases.c.organization == organization, releases.c.function == function
        )
        return int(self._connection.execute(statement).scalar_one() or 0)

    def active_of(self, organization: str, function: str) -> tuple[Release, ...]:
        """Return a function's live and pending releases."""
        statement = self._releases.select(
            releases.c.organization == organization,
            releases.c.function == function,
            releases.c.state.in_(_ACTIVE),
        )
        return self._releases.all(statement.order_by(releases.c.number))

    def live_of(self, organization: str, functions: Collection[str]) -> tuple[Release, ...]:
        """Return the live releases of these functions."""
        return self._releases.among(_live_of, functions, organization=organization)

    def live_since(self, organization: str, function: str, since_ms: int) -> tuple[Release, ...]:
        """Return the releases that received calls at some time after `since_ms`."""
        statement = self._releases.select(
            releases.c.organization == organization,
            releases.c.function == function,
            releases.c.live_ms > 0,
            or_(releases.c.ended_ms == 0, releases.c.ended_ms > since_ms),
        )
        return self._releases.all(statement)

    def in_use(self, organization: str, since_ms: int) -> frozenset[tuple[str, str]]:
        """Return (version's digest, base) of all that is in traffic, is to be, or was after `since_ms`."""
        statement = self._releases.select(
            releases.c.organization == organization,
            or_(releases.c.state.in_(_ACTIVE), releases.c.ended_ms > since_ms),
        )
        found = self._releases.all(statement)
        return frozenset((part.digest, part.base) for release in found for part in release.parts)

    def active_in(self, organization: str, project: str) -> tuple[Release, ...]:
        """Return the live and pending releases of a project's functions."""
        statement = self._releases.select(
            releases.c.organization == organization,
            releases.c.project == project,
            releases.c.state.in_(_ACTIVE),
        )
        return self._releases.all(statement.order_by(releases.c.id))

    def watched(self, now_ms: int) -> tuple[Release, ...]:
        """Return every release that a guard watches now, over all tenants, for the guards alone."""
        # Sorted here: asked for an order, SQLite walks all releases in it instead of the few by index.
        found = self._releases.all(self._releases.select(releases.c.watch_until_ms > now_ms))
        return tuple(sorted(found, key=lambda release: release.id))

    def active(self) -> tuple[Release, ...]:
        """Return every live and pending release over all tenants, for the reconciler alone."""
        return self._releases.all(
            self._releases.select(releases.c.state.in_(_ACTIVE)).order_by(releases.c.id)
        )


class ValueRows:
    """Settings and secrets; rows are only ever added."""

    def __init__(self, connection: Connection) -> None:
        self._values = Rows(connection, named_values, Value)

    def add(self, value: Value) -> None:
        """Insert one version of a value."""
        self._values.add(value)

    def newest(self, organization: str, project: str) -> tuple[Value, ...]:
        """Return the newest version of each value of a project and its functions, removed ones too."""
        return self._newest(organization, project)

    def usable(self, organization: str, project: str, function: str) -> tuple[Value, ...]:
        """Return the newest version of each value that this function may bind, removed ones too."""
        return self._newest(organization, project, named_values.c.function.in_(("", function)))

    def history(self, organization: str, project: str, key: ValueKey) -> tuple[Value, ...]:
        """Return every version of one value, newest first; `key` names a function by id."""
        statement = self._values.select(*_of(organization, project, key))
        return self._values.all(statement.order_by(named_values.c.number.desc()))

    def latest(self, organization: str, project: str, key: ValueKey) -> Value | None:
        """Return the newest version of one value; `key` names a function by id."""
        statement = self._values.select(*_of(organization, project, key))
        found = self._values.all(statement.order_by(named_values.c.number.desc()).limit(1))
        return found[0] if found else None

    def by_ids(self, ids: Collection[str]) -> dict[str, Value]:
        """Return these versions of values over all tenants, for the reconciler alone."""
        found = (self._values.all(self._values.select(named_values.c.id.in_(some))) for some in chunks(ids))
        return {value.id: value for part in found for value in part}

    def _newest(self, organization: str, project: str, *where: ColumnElement[bool]) -> tuple[Value, ...]:
        columns = named_values.c
        same = (columns.function, columns.kind, columns.stage, columns.name)
        newest = (
            select(*same, func.max(columns.number).label("number"))
            .where(columns.organization == organization, columns.project == project, *where)
            .group_by(*same)
            .subquery()
        )
        statement = self._values.select(
            columns.organization == organization,
            columns.project == project,
            columns.number == newest.c.number,
            *(column == newest.c[column.name] for column in same),
        )
        return self._values.all(
            statement.order_by(columns.kind, columns.name, columns.stage, columns.function)
        )


def _of(organization: str, project: str, key: ValueKey) -> tuple[ColumnElement[bool], ...]:
    columns = named_values.c
    return (
        columns.organization == organization,
        columns.project == project,
        columns.function == key.function,
        columns.kind == key.kind,
        columns.stage == key.stage,
        columns.name == key.name,
    )
