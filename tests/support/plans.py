"""The plans of the queries that a piece of code sends, and what in them reads a table from end to end.

PostgreSQL plans by what a table holds, and reads a small one from end to end
whatever its indexes; so it is told that this costs more than anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

__all__ = ["plans_of", "walks"]


@contextmanager
def plans_of(engine: Engine) -> Iterator[list[str]]:
    """Collect the plan of every query meanwhile."""
    found: list[str] = []
    sqlite = engine.dialect.name == "sqlite"

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.lstrip().startswith("SELECT"):
            return
        beside = cursor.connection.cursor()
        if not sqlite:
            beside.execute("SET LOCAL enable_seqscan = off")
        beside.execute(("EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN ") + statement, parameters)
        found.append("\n".join(str(row[3] if sqlite else row[0]) for row in beside.fetchall()))

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", explain)


def walks(plan: str) -> list[str]:
    """Return the lines of a plan that read a table or an index from end to end."""
    # What a query made itself, a list of values or the inside of it, is no table.
    walked = re.compile(r"SCAN (?!anon_|\(|CONSTANT|SUBQUERY)|Seq Scan")
    ends = [line for line in plan.splitlines() if walked.search(line)]
    # A partial index holds nothing but what is asked for.
    return [line for line in ends if not re.search(r"USING (COVERING )?INDEX \w+_(trouble|streaming)", line)]
