"""A turn stores everything or nothing: no failure between two statements loses or doubles a call."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select
from sqlalchemy.exc import DBAPIError

from control_plane.meter.cycle import Cycle
from control_plane.meter.follower import LogFollower
from control_plane.store.engine import create_engine
from control_plane.store.usage_ledger import AnotherWriter, UsageLedger
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_tables import host_exits, host_starts, log_rejects, usage_events, usage_hourly
from tests.meter.lines import access_line, end_line, exit_line, start_line


class FixedClock:
    def now_ms(self) -> int:
        return 1_760_000_000_000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'usage.db'}", schema="usage")
    migrate_usage(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def make_cycle(tmp_path: Path, engine: Engine) -> Iterator[Callable[[], Cycle]]:
    opened: list[LogFollower] = []

    def make() -> Cycle:
        access = LogFollower("access", tmp_path / "access.log", None)
        host = LogFollower("host", tmp_path / "records.log", None)
        opened.extend((access, host))
        cycle = Cycle(UsageLedger(engine), access, host, FixedClock())
        cycle.reload()
        return cycle

    yield make
    for follower in opened:
        follower.close()


def count(engine: Engine, table: Any) -> int:
    with engine.begin() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def fill(tmp_path: Path) -> None:
    access = [access_line(number, mode="stream" if number % 3 == 0 else "sync") for number in range(30)]
    access.insert(7, b"damage\n")
    access += [end_line(number) for number in range(0, 30, 6)] + [access_line(5)]
    (tmp_path / "access.log").write_bytes(b"".join(access))
    (tmp_path / "records.log").write_bytes(start_line("i1") + exit_line("i1") + b"{}\n")


def test_both_logs_are_counted_and_another_turn_finds_nothing(
    tmp_path: Path, engine: Engine, make_cycle: Callable[[], Cycle]
) -> None:
    fill(tmp_path)
    cycle = make_cycle()
    turn = cycle.turn()
    assert (turn.lines, turn.calls, turn.rejects) == (40, 30, 2)
    assert cycle.turn().lines == 0
    assert make_cycle().turn().lines == 0
    assert [count(engine, table) for table in (usage_events, host_starts, host_exits, log_rejects)] == [
        30,
        1,
        1,
        2,
    ]
    assert cycle.lines_behind() == 0


def snapshot(engine: Engine) -> list[Any]:
    with engine.begin() as connection:
        events = connection.execute(select(usage_events).order_by(usage_events.c.id)).all()
        hours = connection.execute(select(usage_hourly).order_by(*usage_hourly.primary_key)).all()
    return [[tuple(row)[1:] for row in events], [tuple(row) for row in hours]]


def test_a_failure_at_any_statement_loses_and_doubles_nothing(
    tmp_path: Path, engine: Engine, make_cycle: Callable[[], Cycle]
) -> None:
    fill(tmp_path)
    countdown = [0]

    @event.listens_for(engine, "before_cursor_execute")
    def fail(*_: object) -> None:
        countdown[0] -= 1
        if countdown[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    failures = 0
    for statement in range(1, 200):
        cycle = make_cycle()
        countdown[0] = statement
        try:
            turn = cycle.turn()
        except OSError:
            failures += 1
            countdown[0] = 0
            assert count(engine, usage_events) == 0
            assert UsageLedger(engine).marks() == {}
            continue
        break
    countdown[0] = 0
    assert failures > 10
    assert turn.calls == 30
    stored = snapshot(engine)
    UsageLedger(engine).rebuild()
    assert snapshot(engine) == stored
    assert len(stored[0]) == 30


def test_a_full_database_stops_the_turn_and_room_lets_it_go_on(
    tmp_path: Path, engine: Engine, make_cycle: Callable[[], Cycle]
) -> None:
    cycle = make_cycle()
    (tmp_path / "access.log").write_bytes(b"".join(access_line(number) for number in range(2_000)))
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def allow(most: int) -> None:
        raw = engine.raw_connection()
        raw.cursor().execute(f"PRAGMA max_page_count={most}")
        raw.close()

    allow(pages + 20)
    with pytest.raises(DBAPIError, match="full"):
        cycle.turn()
    assert count(engine, usage_events) == 0
    allow(2**30)
    cycle.reload()
    while cycle.turn().lines:
        pass
    assert count(engine, usage_events) == 2_000


def test_two_meters_do_not_both_count(
    tmp_path: Path, engine: Engine, make_cycle: Callable[[], Cycle]
) -> None:
    fill(tmp_path)
    first, second = make_cycle(), make_cycle()
    assert first.turn().calls == 30
    with pytest.raises(AnotherWriter):
        second.turn()
    second.reload()
    assert second.turn().lines == 0
    assert count(engine, usage_events) == 30


def test_lines_behind_are_estimated_from_what_was_read(
    tmp_path: Path, make_cycle: Callable[[], Cycle]
) -> None:
    fill(tmp_path)
    cycle = make_cycle()
    cycle.turn()
    with (tmp_path / "access.log").open("ab") as file:
        file.write(b"".join(access_line(number) for number in range(1_000, 2_000)))
    assert 800 < cycle.lines_behind() < 1_200
