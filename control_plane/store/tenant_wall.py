"""The second wall between tenants: PostgreSQL's row rules, and whose rows a transaction sees.

The first wall is that each statement names its organization. Behind it, on
PostgreSQL, a table of tenants shows the rows of those organizations alone that
the transaction has been opened for (ADR 0200). SQLite has no such rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, text

__all__ = ["EVERYONE", "NOBODY", "REACH", "TenantWall", "reaching", "with_reach"]

# Ingot's own work: the reconciler, clean-ups, finding out who somebody is.
EVERYONE: Final = "*"
# No organization yet; one is named later.
NOBODY: Final = "-"
# The execution option that says for whom a connection's transactions are opened.
REACH: Final = "ingot_reach"

_PLAIN: Final = re.compile(r"[\w*-]*", re.ASCII)
_SET: Final = text("SELECT set_config('ingot.organizations', :organizations, true)")


def reaching(engine: Engine, reach: str) -> Engine:
    """Return the engine for transactions on one organization's rows, or on all."""
    return engine.execution_options(**{REACH: reach})


def with_reach(begin: str, connection: Connection) -> str:
    """Return PostgreSQL's statement that begins a transaction, together with whose rows it shows.

    Both go in one message, so the rules cost no round trip of their own.
    """
    reach = connection.get_execution_options().get(REACH)
    if reach is None:
        return begin
    # The message takes no parameters.
    if not _PLAIN.fullmatch(reach):
        raise ValueError("no organization has such an id")
    return f"{begin}; SET LOCAL ingot.organizations TO '{reach or ','}'"


class TenantWall:
    """Whose rows one transaction sees."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stands = connection.dialect.name == "postgresql"
        reach = connection.get_execution_options().get(REACH)
        self._open: frozenset[str] = frozenset() if reach is None else frozenset({reach})

    def open(self, organization: str) -> None:
        """Show one more organization's rows until the transaction ends; EVERYONE shows all of them."""
        if not self._stands or organization in self._open or EVERYONE in self._open:
            return
        self._open |= {organization}
        shown = EVERYONE if EVERYONE in self._open else ",".join(sorted(self._open))
        # A list of nothing but the empty name, which is the platform's own, needs a comma to be one.
        self._connection.execute(_SET, {"organizations": shown or ","})

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Remember what was open before a savepoint: the database takes it back with the savepoint."""
        before = self._open
        try:
            yield
        except BaseException:
            self._open = before
            raise
