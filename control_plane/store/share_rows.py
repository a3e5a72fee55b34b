"""Rows of shares, the words they are found by, and installations."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, Connection, String, delete, insert, literal, select

from control_plane.domain.sharing import Installation, Share, ShareKind
from control_plane.store.rows import Rows, chunks
from control_plane.store.share_tables import installations, share_words, shares

__all__ = ["ShareRows"]


class ShareRows:
    """What is offered, and what came of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._shares = Rows(connection, shares, Share)
        self._installations = Rows(connection, installations, Installation)

    def put(self, share: Share, words: Collection[str], *, new: bool) -> None:
        """Insert a share or write it back, with the words it is found by."""
        if new:
            self._shares.add(share)
        else:
            self._shares.update(share, "organization", "id")
            self._connection.execute(delete(share_words).where(share_words.c.share == share.id))
        rows = [{"word": word, "share": share.id} for word in sorted(words)]
        if rows:
            self._connection.execute(insert(share_words), rows)

    def delete(self, organization: str, share: str) -> None:
        """Forget a share."""
        self._connection.execute(
            delete(shares).where(shares.c.organization == organization, shares.c.id == share)
        )
        self._connection.execute(delete(share_words).where(share_words.c.share == share))

    def get(self, organization: str, share: str) -> Share | None:
        """Return one of the organization's own shares."""
        return self._shares.one(organization=organization, id=share)

    def same(self, organization: str, function: str, kind: ShareKind, reach: str) -> Share | None:
        """Return the share of this function with the same kind and reach."""
        return self._shares.one(
            organization=organization,
            function=function,
            kind=kind,
            reach=reach,
        )

    def own(self, organization: str, projects: Collection[str], after: str, limit: int) -> tuple[Share, ...]:
        """Return the organization's own shares of these projects behind an id, oldest first."""
        statement = self._shares.select(
            shares.c.organization == organization, shares.c.project.in_(projects), shares.c.id > after
        )
        return self._shares.all(statement.order_by(shares.c.id).limit(limit))

    def visible(self, reaches: Collection[str], share: str) -> Share | None:
        """Return a share of any tenant when it reaches one of these."""
        found = self._shares.one(id=share)
        return found if found is not None and found.reach in reaches else None

    def offered(self, reaches: Collection[str], ids: Collection[str]) -> dict[str, Share]:
        """Return those of these shares of any tenant that reach one of these."""
        parts = (
            self._shares.all(self._shares.select(shares.c.id.in_(some), shares.c.reach.in_(reaches)))
            for some in chunks(ids)
        )
        return {share.id: share for part in parts for share in part}

    def search(
        self,
        reaches: Collection[str],
        terms: Sequence[str],
        tags: Sequence[str],
        *,
        kind: ShareKind | None,
        after: str,
        limit: int,
    ) -> tuple[Share, ...]:
        """Return shares of any tenant that reach one of these and have every term and tag, oldest first."""
        statement = self._shares.select(shares.c.reach.in_(reaches), shares.c.id > after)
        if kind is not None:
            statement = statement.where(shares.c.kind == kind)
        for term in terms:
            # Words hold no character above this one, so this is every word that begins so.
            begins = share_words.c.word.between(_text(term), _text(term + "\U0010ffff"))
            statement = statement.where(shares.c.id.in_(select(share_words.c.share).where(begins)))
        for tag in tags:
            tagged = select(share_words.c.share).where(share_words.c.word == f"#{tag}")
            statement = statement.where(shares.c.id.in_(tagged))
        return self._shares.all(statement.order_by(shares.c.id).limit(limit))

    def add_installation(self, installation: Installation) -> None:
        """Keep where a function came from."""
        self._installations.add(installation)

    def update_installation(self, installation: Installation) -> None:
        """Write an installation back."""
        self._installations.update(installation, "organization", "function")

    def installation(self, organization: str, function: str) -> Installation | None:
        """Return where a function came from."""
        return self._installations.one(organization=organization, function=function)

    def installations(
        self, organization: str, projects: Collection[str], after: str, limit: int
    ) -> tuple[Installation, ...]:
        """Return the installations in these projects behind a function's id, oldest first."""
        statement = self._installations.select(
            installations.c.organization == organization,
            installations.c.project.in_(projects),
            installations.c.function > after,
        )
        return self._installations.all(statement.order_by(installations.c.function).limit(limit))


def _text(word: str) -> ColumnElement[str]:
    # As the column's own type, PostgreSQL would be sent the collation where it cannot stand.
    return literal(word, String())
