"""The usage database's sums as tests compare them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Engine, select

from control_plane.domain.metering import DAY_MS
from control_plane.store.usage_tables import HOURLY_KEY, usage_daily, usage_hourly

__all__ = ["hourly_of"]

_KEY = len(HOURLY_KEY)
Sums = dict[tuple[Any, ...], tuple[int, ...]]


def hourly_of(engine: Engine) -> Sums:
    """Return the sums by hour; those by day must be made of them exactly."""
    with engine.begin() as connection:
        hours = {tuple(row)[:_KEY]: tuple(row)[_KEY:] for row in connection.execute(select(usage_hourly))}
        days = {tuple(row)[:_KEY]: tuple(row)[_KEY:] for row in connection.execute(select(usage_daily))}
    added: dict[tuple[Any, ...], list[tuple[int, ...]]] = defaultdict(list)
    for key, sums in hours.items():
        added[key[0] // DAY_MS * DAY_MS, *key[1:]].append(sums)
    assert days == {key: tuple(map(sum, zip(*sums, strict=True))) for key, sums in added.items()}
    return hours
