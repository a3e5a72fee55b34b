"""Old calls go in batches, newest last; their sums stay and are never made anew from what is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from control_plane.domain.metering import HOUR_MS
from control_plane.errors import Invalid
from control_plane.meter.cycle import Cycle
from control_plane.meter.follower import LogFollower
from control_plane.services.usage import Usage
from control_plane.store.engine import create_engine
from control_plane.store.usage_ledger import UsageLedger
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_queries import UsageReader
from control_plane.store.usage_retention import UsageRetention
from control_plane.store.usage_tables import host_starts, usage_daily, usage_events, usage_hourly
from tests.meter.lines import BEGAN_MS, access_line, start_line
from tests.support.clock import FakeClock
from tests.support.usage_sums import hourly_of

LATER_MS = BEGAN_MS + 10 * HOUR_MS


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path / 'usage.db'}", schema="usage")
    migrate_usage(made)
    late = [
        access_line(number, id=f"{LATER_MS + number}-{number:032x}", t=str(LATER_MS + number))
        for number in range(50, 60)
    ]
    early = [access_line(number) for number in range(50)]
    (tmp_path / "access.log").write_bytes(b"".join(early + late))
    (tmp_path / "records.log").write_bytes(start_line("i1"))
    access = LogFollower("access", tmp_path / "access.log", None)
    host = LogFollower("host", tmp_path / "records.log", None)
    cycle = Cycle(UsageLedger(made), access, host, FakeClock(LATER_MS + HOUR_MS))
    while cycle.turn().lines:
        pass
    yield made
    access.close()
    host.close()
    made.dispose()


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(usage_events)) or 0


def sums(engine: Engine) -> list[tuple[object, ...]]:
    return sorted((*key, *values) for key, values in hourly_of(engine).items())


def test_old_calls_go_in_batches_and_their_sums_stay(engine: Engine) -> None:
    before = sums(engine)
    retention = UsageRetention(engine)
    assert retention.over(LATER_MS) == 50
    removed = []
    while went := retention.remove(LATER_MS, 20):
        removed.append(went)
    assert removed == [20, 20, 10]
    assert count(engine) == 10
    assert sums(engine) == before
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(host_starts)) == 0


def test_sums_are_made_anew_only_where_every_call_is_kept(engine: Engine) -> None:
    before = sums(engine)
    UsageRetention(engine).remove(LATER_MS, 20)
    UsageLedger(engine).rebuild()
    assert sums(engine) == before
    # The hours that are kept are made anew indeed.
    with engine.begin() as connection:
        connection.execute(usage_hourly.delete().where(usage_hourly.c.hour_ms >= LATER_MS - HOUR_MS))
        connection.execute(usage_daily.delete())
    UsageLedger(engine).rebuild()
    assert sums(engine) == before


def test_hours_whose_calls_are_gone_are_not_reconciled(engine: Engine) -> None:
    UsageRetention(engine).remove(LATER_MS, 20)
    usage = Usage(UsageReader(engine))
    with pytest.raises(Invalid, match="no longer kept one by one"):
        usage.reconcile(BEGAN_MS, LATER_MS)
    usage.reconcile(LATER_MS, LATER_MS + HOUR_MS)


def test_nothing_is_noted_while_nothing_is_old(engine: Engine) -> None:
    assert UsageRetention(engine).remove(BEGAN_MS - HOUR_MS, 20) == 0
    assert UsageRetention(engine).kept_from() == 0
