"""Opens a database: SQLite with the pragmas that durability needs, PostgreSQL with a schema of its own.

The only module that knows the two dialects' connection details. Statements and
tables live beside it, never here.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy
from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import DisconnectionError

from control_plane.errors import Invalid
from control_plane.store.prepared import send_text
from control_plane.store.tenant_wall import with_reach

__all__ = ["CACHE_MB", "Connections", "create_engine"]

CACHE_MB: Final = 16
# A connection that rested this long is asked whether it still lives before it is used.
_RESTED_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections there may be, and how long they may be waited for."""

    # Every thread of the api may hold one at once, and one more for a change of its own.
    kept: int = 12
    more: int = 20
    wait_s: float = 10.0
    # PostgreSQL ends a statement after that; 0: never.
    statement_s: float = 0.0

    def pool(self) -> dict[str, Any]:
        """Return the pool's options."""
        # The one used last is taken first: its caches are warm, and the rest can be few.
        sizes = {"pool_size": self.kept, "max_overflow": self.more, "pool_timeout": self.wait_s}
        return {**sizes, "pool_use_lifo": True}


_USUAL: Final = Connections()


def create_engine(
    url: str, *, schema: str, cache_mb: int = CACHE_MB, connections: Connections = _USUAL
) -> Engine:
    """Return an engine for `url`.

    `schema` is the PostgreSQL schema that unqualified tables mean; SQLite has
    one file for each instead and ignores it. `cache_mb` is SQLite's page cache
    for each connection. Raises Invalid for any other database.
    """
    backend = make_url(url).get_backend_name()
    if backend == "sqlite":
        return _sqlite(url, cache_mb, connections)
    if backend == "postgresql":
        options = f"-csearch_path={schema} -clock_timeout=5000"
        options += f" -cstatement_timeout={int(connections.statement_s * 1000)}"
        engine = sqlalchemy.create_engine(
            url,
            connect_args={"options": options, "connect_timeout": 5},
            **connections.pool(),
            # The driver must not begin transactions by itself: that is a round trip that can say more.
            isolation_level="AUTOCOMMIT",
            # An error says which statement failed, never with whose values.
            hide_parameters=True,
        )
        event.listen(engine, "begin", _begin_on_postgresql)
        _ask_rested_connections(engine)
        return engine
    raise Invalid(
        f"The database {backend!r} is not supported.",
        field="database",
        hint="Use a URL that begins with sqlite:/// or postgresql+psycopg://.",
    )


def _begin_on_postgresql(connection: Connection) -> None:
    # One statement alone is consistent; several of one reader need the snapshot named.
    reads = connection.get_execution_options().get("ingot_read_only", False)
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if reads else "BEGIN"
    connection.exec_driver_sql(with_reach(begin, connection))


def _ask_rested_connections(engine: Engine) -> None:
    """Replace connections that died while they rested; to ask at each use would double small requests."""

    @event.listens_for(engine, "checkin")
    def _rest(_raw: Any, record: Any) -> None:
        record.info["rested_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ask(raw: Any, record: Any, _proxy: Any) -> None:
        # One that is new has not rested.
        if time.monotonic() - record.info.get("rested_since", math.inf) < _RESTED_S:
            return
        try:
            alive = engine.dialect.do_ping(raw)
        except engine.dialect.loaded_dbapi.Error:
            alive = False
        if not alive:
            raise DisconnectionError


class _Compiler(SQLiteCompiler):
    """Writes down the index that a query names with `with_hint`; the dialect itself leaves hints out."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text


def _sqlite(url: str, cache_mb: int, connections: Connections) -> Engine:
    pool = {} if make_url(url).database in {None, "", ":memory:"} else connections.pool()
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": 5.0}, hide_parameters=True, **pool)
    engine.dialect.statement_compiler = _Compiler

    @event.listens_for(engine, "connect")
    def _prepare(raw: Any, _record: Any) -> None:
        # The driver must not begin transactions by itself: it would begin them too late,
        # and a read that turns into a write could fail without waiting.
        raw.isolation_level = None
        cursor = raw.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA busy_timeout=5000")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA cache_size=-{cache_mb * 1024}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Readers never block in WAL, so only those who say they write take the lock at once.
        writes = not connection.get_execution_options().get("ingot_read_only", False)
        send_text(connection, "BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
