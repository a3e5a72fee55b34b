"""Several meters count into one database, at the same time and without losing or doubling a call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, func, select

from control_plane.meter.cycle import Cycle
from control_plane.meter.follower import LogFollower
from control_plane.store.engine import create_engine
from control_plane.store.usage_intake import ACCESS_LOG, HOST_RECORDS, source_of
from control_plane.store.usage_ledger import UsageLedger
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_tables import (
    HOURLY_KEY,
    USAGE_SCHEMA,
    log_offsets,
    log_rejects,
    usage_events,
    usage_hourly,
)
from tests.meter.lines import access_line, end_line, exit_line, start_line

REPLICAS = ("", "gateway-1", "gateway-2")
CALLS = 200
BATCHES = 8


class FixedClock:
    def now_ms(self) -> int:
        return 1_760_000_000_000


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(postgres_url, schema=USAGE_SCHEMA)
    migrate_usage(engine)
    _empty(engine)
    yield engine
    _empty(engine)
    engine.dispose()


def _empty(engine: Engine) -> None:
    """Remove what this file's tests count; others on the same server leave theirs."""
    with engine.begin() as connection:
        for table in (usage_events, usage_hourly, log_offsets, log_rejects):
            connection.execute(delete(table))


class Meter:
    """One gateway's log, and its meter in a thread."""

    def __init__(self, folder: Path, engine: Engine, replica: str, first: int) -> None:
        self.folder = folder / (replica or "main")
        self.folder.mkdir()
        self.log, self.records = self.folder / "access.log", self.folder / "records.log"
        self.log.touch()
        self.records.touch()
        self.first = first
        access = LogFollower(source_of(ACCESS_LOG, replica), self.log, None)
        host = LogFollower(source_of(HOST_RECORDS, replica), self.records, None)
        self.followers = (access, host)
        self.cycle = Cycle(UsageLedger(engine), access, host, FixedClock())
        self.cycle.reload()
        self.trouble: list[BaseException] = []

    def run(self, together: threading.Barrier) -> None:
        """Write and count batch by batch, each at the same moment as the others'."""
        size = CALLS // BATCHES
        try:
            for batch in range(BATCHES):
                start = self.first + batch * size
                lines = [
                    access_line(number, mode="stream" if number % 3 == 0 else "sync")
                    for number in range(start, start + size)
                ]
                lines += [end_line(number) for number in range(start, start + size) if number % 6 == 0]
                with self.log.open("ab") as log:
                    log.write(b"".join([*lines, b"damage\n"]))
                if self.folder.name == "main":
                    with self.records.open("ab") as log:
                        log.write(start_line(f"i{batch}") + exit_line(f"i{batch}"))
                together.wait(30)
                assert self.cycle.turn().calls == size
        except BaseException as error:
            self.trouble.append(error)
            together.abort()


def sums(engine: Engine) -> list[tuple[object, ...]]:
    with engine.begin() as connection:
        order = [usage_hourly.c[name] for name in HOURLY_KEY]
        return [tuple(row) for row in connection.execute(select(usage_hourly).order_by(*order))]


def test_they_count_at_once_what_each_gateway_wrote(tmp_path: Path, engine: Engine) -> None:
    meters = [Meter(tmp_path, engine, name, 1_000 * place) for place, name in enumerate(REPLICAS)]
    together = threading.Barrier(len(meters))
    threads = [threading.Thread(target=one.run, args=(together,)) for one in meters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [one.trouble for one in meters] == [[], [], []]
    with engine.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(usage_events)) == len(REPLICAS) * CALLS
        sources = set(connection.scalars(select(log_offsets.c.source)))
        rejects: dict[str, int] = dict(
            connection.execute(
                select(log_rejects.c.source, func.count()).group_by(log_rejects.c.source)
            ).all()
        )
    assert sources == {"access", "host", "access:gateway-1", "access:gateway-2"}
    assert rejects == dict.fromkeys(("access", "access:gateway-1", "access:gateway-2"), BATCHES)
    # What was added up beside each other is what the calls themselves add up to.
    before = sums(engine)
    assert before
    UsageLedger(engine).rebuild()
    assert sums(engine) == before
    # A meter that starts again goes on where it was.
    again = LogFollower(source_of(ACCESS_LOG, "gateway-1"), meters[1].log, None)
    cycle = Cycle(UsageLedger(engine), again, meters[1].followers[1], FixedClock())
    cycle.reload()
    assert cycle.turn().lines == 0
    again.close()
    for one in meters:
        for follower in one.followers:
            follower.close()
