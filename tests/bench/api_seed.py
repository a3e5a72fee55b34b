"""Fills a running Ingot's databases with copies of what one organization made in the ordinary way.

Rows are copied as they are stored and only their ids and names change, so that
nothing here must know what a column means. Bulk inserts only.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from control_plane.domain.credentials import make_text, sha256_hex
from tests.bench.api_journal_seed import Journal, digest_of
from tests.bench.api_rows import Row, insert_rows, read_rows, renamed

__all__ = ["Scale", "Tenant", "copy_organizations", "copy_usage"]

_DAY_MS, _HOUR_MS, _MINUTE_MS = 86_400_000, 3_600_000, 60_000
_DAYS: Final = 30
# The monitor keeps so many.
_SERIES_DAYS: Final = 7


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
    source, tenants = _Source(engine), []
    for number in range(scale.organizations):
        tenant, rows = source.tenant(number, scale)
        tenants.append(tenant)
        for table, some in rows.items():
            insert_rows(engine, table, some)
    source.journal.finish()
    return tenants


def copy_usage(engine: Engine, tenants: Sequence[Tenant], scale: Scale) -> None:
    """Spread copies of the only usage event over all functions and the last days, with their sums."""
    event, *_ = read_rows(engine, "usage_events")
    hourly, *_ = read_rows(engine, "usage_hourly")
    daily, *_ = read_rows(engine, "usage_daily")
    minutely, *_ = read_rows(engine, "usage_minutes")
    series, *_ = read_rows(engine, "usage_hours")
    del event["seq"]
    now, chance = int(time.time() * 1000), random.Random(1)
    places = [(tenant, function) for tenant in tenants for function in tenant.functions]
    hours: Counter[tuple[int, int]] = Counter()
    days: Counter[tuple[int, int]] = Counter()
    minutes: Counter[tuple[int, int]] = Counter()
    recent: Counter[tuple[int, int]] = Counter()

    def events() -> Iterator[Row]:
        for number in range(scale.events):
            place = number % len(places)
            at = now - chance.randrange(_DAYS * _DAY_MS)
            hours[place, at // _HOUR_MS * _HOUR_MS] += 1
            days[place, at // _DAY_MS * _DAY_MS] += 1
            if now - at < _SERIES_DAYS * _DAY_MS:
                minutes[place, at // _MINUTE_MS * _MINUTE_MS] += 1
                recent[place, at // _HOUR_MS * _HOUR_MS] += 1
            times = {"accepted_ms": at, "dispatched_ms": at, "ended_ms": at + 5}
            yield event | _owner(*places[place]) | times | {"id": f"{at}-{number:032x}"}

    def sums(of: Row, counted: Counter[tuple[int, int]], unit: str) -> Iterator[Row]:
        added = [name for name, value in of.items() if isinstance(value, int) and name != unit]
        for (place, at), calls in sorted(counted.items(), key=lambda one: one[0][1]):
            yield of | _owner(*places[place]) | {name: of[name] * calls for name in added} | {unit: at}

    insert_rows(engine, "usage_events", events())
    insert_rows(engine, "usage_hourly", sums(hourly, hours, "hour_ms"))
    insert_rows(engine, "usage_daily", sums(daily, days, "day_ms"))
    insert_rows(engine, "usage_minutes", sums(minutely, minutes, "minute_ms"))
    insert_rows(engine, "usage_hours", sums(series, recent, "hour_ms"))


def _owner(tenant: Tenant, function: str) -> Row:
    return {"organization": tenant.organization, "project": tenant.project, "function": function}


class _Source:
    """The rows of the organization that is copied."""

    def __init__(self, engine: Engine) -> None:
        names = ("organizations", "projects", "users", "bindings", "functions", "drafts", "draft_edits")
        self.rows = {name: read_rows(engine, name) for name in names}
        self.credentials = [row for row in read_rows(engine, "credentials") if row["kind"] == "ingt"]
        self.more = {name: read_rows(engine, name)[0] for name in ("versions", "reviews", "releases")}
        self.journal = Journal(engine)
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
        rows["organizations"] = [renamed(self.organization, names) | {"name": f"org-{number}"}]
        rows["projects"] = [renamed(self.project, names)]
        rows["users"] = [
            renamed(user, names) | {"email": f"{number}.{user['email']}"} for user in self.rows["users"]
        ]
        rows["bindings"] = [renamed(one, names) for one in self.rows["bindings"] if one["organization"]]
        tokens, rows["credentials"] = self._tokens(number, names)
        rows |= self.journal.organization_rows(names, number)
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
                renamed(row, names)
                | {"id": f"tok_{number:013d}{place:013d}", "sha256": sha256_hex(text)}
                | {"expires_ms": int(time.time() * 1000) + 30 * _DAY_MS}
            )
        return tokens, rows

    def _function(
        self, names: Mapping[str, str], function: str, place: int, versions: int
    ) -> Iterator[tuple[str, list[Row]]]:
        known = {**names, self.function["id"]: function}
        yield (
            "functions",
            [renamed(self.function, known) | {"name": f"function-{place}", "latest": versions}],
        )
        yield "drafts", [renamed(row, known) for row in self.rows["drafts"]]
        yield "draft_edits", [renamed(row, known) for row in self.rows["draft_edits"]]
        version = renamed(self.more["versions"], known)
        tail = function.removeprefix("fn_")
        yield (
            "versions",
            [
                version
                | {
                    "id": f"ver_{tail[4:]}{number:04d}",
                    "number": number,
                    "digest": digest_of(function, number),
                }
                for number in range(1, versions + 1)
            ],
        )
        review, release = (renamed(self.more[table], known) for table in ("reviews", "releases"))
        yield from self.journal.function_rows(version, review, release, versions).items()
        yield from self.journal.share_rows(known, place, versions).items()
