"""Fills a running Ingot's databases with copies of what one organization made in the ordinary way.

Rows are copied as they are stored and only their ids and names change, so that
nothing here must know what a column means. Bulk inserts only.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine

from control_plane.domain.credentials import make_text, sha256_hex

__all__ = ["Scale", "Tenant", "copy_organizations", "copy_usage"]

Row = dict[str, Any]
_CHUNK: Final = 20_000
_DAY_MS: Final = 86_400_000
_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Scale:
    """How much there is."""

    organizations: int = 50
    functions: int = 80
    versions: int = 50
    events: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Tenant:
    """A copied organization: who may do what, and its functions."""

    organization: str
    project: str
    # role -> text of a personal token
    tokens: Mapping[str, str]
    functions: tuple[str, ...]


def copy_organizations(engine: Engine, scale: Scale) -> list[Tenant]:
    """Copy the only organization, with its one function, `scale.organizations` times."""
    source = _Source(engine)
    tenants = []
    for number in range(scale.organizations):
        tenant, rows = source.tenant(number, scale)
        tenants.append(tenant)
        for table, some in rows.items():
            _insert(engine, table, some)
    return tenants


def copy_usage(engine: Engine, tenants: Sequence[Tenant], scale: Scale) -> None:
    """Spread copies of the only usage event over all functions and the last days."""
    event = _rows(engine, "usage_events")[0]
    del event["seq"]
    hourly = _rows(engine, "usage_hourly")[0]
    now, chance = int(time.time() * 1000), random.Random(1)
    places = [(tenant, function) for tenant in tenants for function in tenant.functions]

    def events() -> Iterator[Row]:
        for number in range(scale.events):
            tenant, function = places[number % len(places)]
            at = now - chance.randrange(_DAYS * _DAY_MS)
            yield event | {
                "id": f"{at}-{number:032x}",
                "organization": tenant.organization,
                "project": tenant.project,
                "function": function,
                "accepted_ms": at,
                "dispatched_ms": at,
                "ended_ms": at + 5,
            }

    def sums() -> Iterator[Row]:
        for tenant, function in places:
            for day in range(_DAYS):
                hour = (now - day * _DAY_MS) // 3_600_000 * 3_600_000
                yield hourly | {
                    "hour_ms": hour,
                    "organization": tenant.organization,
                    "project": tenant.project,
                    "function": function,
                }

    _insert(engine, "usage_events", events())
    _insert(engine, "usage_hourly", sums())
    with engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE")


class _Source:
    """The rows of the organization that is copied."""

    def __init__(self, engine: Engine) -> None:
        names = ("organizations", "projects", "users", "bindings", "functions", "drafts", "draft_edits")
        self.rows = {name: _rows(engine, name) for name in names}
        self.credentials = [row for row in _rows(engine, "credentials") if row["kind"] == "ingt"]
        self.more = {name: _rows(engine, name)[0] for name in ("versions", "reviews", "releases")}
        self.organization = self.rows["organizations"][0]
        self.project = self.rows["projects"][0]
        self.function = self.rows["functions"][0]

    def tenant(self, number: int, scale: Scale) -> tuple[Tenant, dict[str, list[Row]]]:
        """Return one copy and its rows by table."""
        names = {self.organization["id"]: f"org_{number:026d}", self.project["id"]: f"prj_{number:026d}"}
        names |= {
            user["id"]: f"usr_{number:013d}{place:013d}" for place, user in enumerate(self.rows["users"])
        }
        rows: dict[str, list[Row]] = {}
        rows["organizations"] = [_renamed(self.organization, names) | {"name": f"org-{number}"}]
        rows["projects"] = [_renamed(self.project, names)]
        rows["users"] = [
            _renamed(user, names) | {"email": f"{number}.{user['email']}"} for user in self.rows["users"]
        ]
        rows["bindings"] = [_renamed(one, names) for one in self.rows["bindings"] if one["organization"]]
        tokens, rows["credentials"] = self._tokens(number, names)
        functions = []
        for place in range(scale.functions):
            function = f"fn_{number:013d}{place:013d}"
            functions.append(function)
            for table, some in self._function(names, function, place, scale.versions):
                rows.setdefault(table, []).extend(some)
        made = Tenant(names[self.organization["id"]], names[self.project["id"]], tokens, tuple(functions))
        return made, rows

    def _tokens(self, number: int, names: Mapping[str, str]) -> tuple[dict[str, str], list[Row]]:
        tokens, rows = {}, []
        for place, row in enumerate(self.credentials):
            user = next(one for one in self.rows["users"] if one["id"] == row["user"])
            text = make_text("ingt", (1 << 300) + (number << 16) + place)
            tokens[str(user["email"]).partition("@")[0]] = text
            rows.append(
                _renamed(row, names) | {"id": f"tok_{number:013d}{place:013d}", "sha256": sha256_hex(text)}
            )
        return tokens, rows

    def _function(
        self, names: Mapping[str, str], function: str, place: int, versions: int
    ) -> Iterator[tuple[str, list[Row]]]:
        known = {**names, self.function["id"]: function}
        yield (
            "functions",
            [_renamed(self.function, known) | {"name": f"function-{place}", "latest": versions}],
        )
        yield "drafts", [_renamed(row, known) for row in self.rows["drafts"]]
        yield "draft_edits", [_renamed(row, known) for row in self.rows["draft_edits"]]
        version = _renamed(self.more["versions"], known)
        tail = function.removeprefix("fn_")
        yield (
            "versions",
            [
                version
                | {
                    "id": f"ver_{tail[4:]}{number:04d}",
                    "number": number,
                    "digest": "sha256:" + hashlib.sha256(f"{function}/{number}".encode()).hexdigest(),
                }
                for number in range(1, versions + 1)
            ],
        )
        yield "reviews", [_renamed(self.more["reviews"], known) | {"id": f"rev_{tail}"}]
        # Not live: what is tried is the control plane, not a host with thousands of listeners.
        release = _renamed(self.more["releases"], known) | {"id": f"rel_{tail}", "state": "superseded"}
        yield "releases", [release]


def _rows(engine: Engine, table: str) -> list[Row]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}").mappings()]


def _renamed(row: Row, names: Mapping[str, str]) -> Row:
    text = json.dumps(row)
    for old, new in names.items():
        text = text.replace(old, new)
    renamed: Row = json.loads(text)
    return renamed


def _insert(engine: Engine, table: str, rows: Iterable[Row]) -> None:
    """Insert many rows with equal keys as fast as the database takes them."""
    waiting: list[Row] = []
    with closing(engine.raw_connection()) as raw:
        for row in rows:
            waiting.append(row)
            if len(waiting) == _CHUNK:
                _write(raw, engine.dialect.name, table, waiting)
                waiting = []
        if waiting:
            _write(raw, engine.dialect.name, table, waiting)


def _write(raw: Any, dialect: str, table: str, rows: Sequence[Row]) -> None:
    columns = list(rows[0])
    named = ", ".join(f'"{column}"' for column in columns)
    cursor = raw.cursor()
    if dialect == "postgresql":
        with cursor.copy(f"COPY {table} ({named}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row([row[column] for column in columns])
        raw.commit()
        return
    cursor.execute("BEGIN IMMEDIATE")
    marks = ", ".join("?" * len(columns))
    cursor.executemany(
        f"INSERT INTO {table} ({named}) VALUES ({marks})", ([row[name] for name in columns] for row in rows)
    )
    cursor.execute("COMMIT")
