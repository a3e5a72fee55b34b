"""The usage tables hold the same for the same records, in whatever order and portions they come."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from control_plane.domain.metering import (
    HOUR_MS,
    Call,
    InstanceExit,
    InstanceStart,
    StreamEnd,
    StreamState,
    UsageEvent,
    complete,
    explain,
    rate,
    waited_for,
)
from control_plane.store.engine import create_engine
from control_plane.store.usage_intake import Intake, LogMark, Reject, Step
from control_plane.store.usage_ledger import AnotherWriter, UsageLedger
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_rows import event_of_row
from control_plane.store.usage_tables import log_hours, log_rejects, metadata, usage_events
from tests.support.usage_sums import hourly_of

AT = 1_760_000_400_000
Record = Call | StreamEnd | InstanceStart | InstanceExit


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('usage') / 'usage.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    engine = create_engine(url, schema="usage")
    migrate_usage(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> UsageLedger:
    return emptied(engine)


def emptied(engine: Engine) -> UsageLedger:
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    return UsageLedger(engine)


def events_of(engine: Engine) -> dict[str, UsageEvent]:
    with engine.begin() as connection:
        rows = connection.execute(select(usage_events)).all()
    assert len({row.id for row in rows}) == len(rows)
    return {row.id: event_of_row(row) for row in rows}


def a_call(identifier: str, at: int = 0, **changes: Any) -> Call:
    call = Call(
        identifier, "", "org", "prj", "fn1", "v1", "key", "t1", AT + at, "GET", 200, "--", "", 0, 0, 40, 40,
        10, 20, False, 128,
    )  # fmt: skip
    return call._replace(**changes)


def write(ledger: UsageLedger, *records: Record) -> int:
    intake = Intake(seen_ms=AT)
    places = {
        Call: intake.calls,
        StreamEnd: intake.ends,
        InstanceStart: intake.starts,
        InstanceExit: intake.exits,
    }
    for record in records:
        places[type(record)].append(record)  # type: ignore[attr-defined]
    return ledger.write(intake)


# --- the oracle: every event judged by all records at once, in plain loops ---


def expected_events(records: list[Record]) -> dict[str, UsageEvent]:
    calls = {record.id: record for record in reversed(records) if isinstance(record, Call)}
    ends = {record.id: record for record in records if isinstance(record, StreamEnd)}
    starts = sorted(
        {record for record in records if isinstance(record, InstanceStart)}, key=lambda start: start.ready_ms
    )
    exits = {record for record in records if isinstance(record, InstanceExit)}
    expected = {}
    for call in calls.values():
        stream = StreamState.NONE
        if call.streaming:
            stream = StreamState.ENDED if call.id in ends else StreamState.OPEN
        whole = complete(call, ends[call.id]) if stream is StreamState.ENDED else call
        bare = rate(whole, stream)
        ready = waited_for(bare, [start for start in starts if start.target == call.target])
        expected[call.id] = rate(whole, stream, ready, explain(bare, exits))
    return expected


def expected_hourly(events: dict[str, UsageEvent]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    sums: dict[tuple[Any, ...], list[int]] = {}
    for event in events.values():
        call = event.call
        key = (
            call.accepted_ms // HOUR_MS * HOUR_MS,
            *call[2:7],
            event.outcome.value,
        )
        adds = (
            1,
            int(event.billed_ms > 0),
            int(event.ready_ms > 0),
            event.billed_ms,
            event.billed_ms * call.memory_mb,
            call.bytes_in,
            call.bytes_out,
        )
        sums[key] = [old + new for old, new in zip(sums.get(key, [0] * 7), adds, strict=True)]
    return {key: tuple(each) for key, each in sums.items()}


small = st.integers(0, 400)
targets = st.sampled_from(["t1", "t2"])


@st.composite
def worlds(draw: st.DrawFn) -> list[Record]:
    records: list[Record] = []
    for number in range(draw(st.integers(1, 12))):
        target = draw(targets)
        call = a_call(
            f"{AT}-{number}",
            # Across the hour's border, too.
            draw(small) + draw(st.sampled_from([0, HOUR_MS - 300])),
            target=target,
            version=f"v{target}",
            function=f"fn{target}",
            api_key=draw(st.sampled_from(["", "k1", "k2"])),
            response_ms=draw(small),
            status=draw(st.sampled_from([200, 404, 500])),
            streaming=draw(st.booleans()),
        )
        kind = draw(st.integers(0, 3))
        if kind == 0:
            call = call._replace(refusal="function_failed", status=502, response_ms=-1, active_ms=draw(small))
        if kind == 1:
            call = call._replace(refusal="key_missing", status=401, target="", function="", connect_ms=-1)
        records.append(call)
        if call.streaming and draw(st.booleans()):
            ending = draw(st.sampled_from(["--", "CD", "SD"]))
            records.append(StreamEnd(call.id, AT, draw(small), draw(st.integers(0, 20)), 5, 99, ending, 200))
    for number in range(draw(st.integers(0, 4))):
        target, begin = draw(targets), AT + draw(small)
        ready = begin + draw(st.integers(0, 60))
        records.append(InstanceStart(f"i{number}", target, f"v{target}", begin, ready, 1))
        if draw(st.booleans()):
            reason = draw(st.sampled_from(["crashed", "evicted", "idle", "overdue"]))
            records.append(
                InstanceExit(f"i{number}", target, f"v{target}", reason, 9, 10, 1, ready + draw(small))
            )
    return records


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_order_portions_and_repeats_change_nothing(engine: Engine, data: st.DataObject) -> None:
    records = data.draw(worlds())
    repeats = data.draw(st.lists(st.sampled_from(records), max_size=6))
    order = data.draw(st.permutations(records + repeats))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=5)))
    ledger = emptied(engine)
    for first, last in itertools.pairwise([0, *cuts, len(order)]):
        write(ledger, *order[first:last])
    expected = expected_events(records)
    assert events_of(engine) == expected
    assert hourly_of(engine) == expected_hourly(expected)
    ledger.rebuild()
    assert hourly_of(engine) == expected_hourly(expected)


def test_what_the_log_held_is_counted_by_hour(engine: Engine, ledger: UsageLedger) -> None:
    write(ledger, a_call("a"), a_call("b"), a_call("c", HOUR_MS))
    assert write(ledger, a_call("b"), a_call("d"), a_call("d")) == 1
    with engine.begin() as connection:
        hours = [tuple(row)[1:] for row in connection.execute(select(log_hours).order_by("hour_ms"))]
    assert hours == [(5, 2), (1, 0)]


def test_lost_streams_are_closed_and_a_late_end_still_counts(engine: Engine, ledger: UsageLedger) -> None:
    write(ledger, a_call("a", streaming=True), a_call("b", 500, streaming=True))
    assert ledger.close_lost_streams(AT + 100) == 1
    assert ledger.close_lost_streams(AT + 100) == 0
    events = events_of(engine)
    assert (events["a"].stream, events["a"].billed_ms) == (StreamState.LOST, 40)
    assert events["b"].stream is StreamState.OPEN
    write(ledger, StreamEnd("a", AT, 700, 0, 5, 99, "--", 200))
    event = events_of(engine)["a"]
    assert (event.stream, event.billed_ms, event.call.bytes_out) == (StreamState.ENDED, 700, 99)
    assert sum(row[3] for row in hourly_of(engine).values()) == 700


def test_marks_move_only_from_where_they_are(ledger: UsageLedger) -> None:
    first = LogMark("access", 100, 1, b"}\n")
    second = LogMark("access", 200, 2, b"}\n")
    ledger.write(Intake(AT, steps=[Step(None, first)]))
    ledger.write(Intake(AT, steps=[Step(first, second)]))
    for stale in (None, first):
        with pytest.raises(AnotherWriter):
            ledger.write(Intake(AT, calls=[a_call("x")], steps=[Step(stale, second)]))
    assert ledger.marks() == {"access": second}


def test_a_refused_batch_leaves_nothing(engine: Engine, ledger: UsageLedger) -> None:
    mark = LogMark("access", 100, 1, b"}\n")
    ledger.write(Intake(AT, steps=[Step(None, mark)]))
    with pytest.raises(AnotherWriter):
        ledger.write(Intake(AT, calls=[a_call("x")], steps=[Step(None, mark)]))
    assert events_of(engine) == {}
    assert hourly_of(engine) == {}


def test_rejects_are_kept_with_their_place(engine: Engine, ledger: UsageLedger) -> None:
    ledger.write(Intake(AT, rejects=[Reject("access", 7, 3, "not JSON", b"abc\0\xff")]))
    with engine.begin() as connection:
        rows = connection.execute(select(log_rejects)).all()
    assert [tuple(row)[1:] for row in rows] == [("access", 7, 3, "not JSON", b"abc\0\xff", AT)]


def test_many_repeated_calls_are_found_in_portions(engine: Engine, ledger: UsageLedger) -> None:
    calls = [a_call(f"{AT}-{number}", number) for number in range(1_200)]
    assert write(ledger, *calls[:700]) == 700
    assert write(ledger, *calls) == 500
    assert Counter(len(event.call.id) > 0 for event in events_of(engine).values()) == {True: 1_200}
    assert hourly_of(engine) == expected_hourly(expected_events(list(calls)))


def test_the_migrations_make_the_tables_that_the_code_means(engine: Engine) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_migrations_go_down_and_up_again(tmp_path: Path) -> None:
    from alembic import command

    from control_plane.store.usage_migrations import migration_config

    engine = create_engine(f"sqlite:///{tmp_path / 'usage.db'}", schema="usage")
    migrate_usage(engine)
    with engine.begin() as connection:
        command.downgrade(migration_config(connection), "base")
    migrate_usage(engine)
    assert UsageLedger(engine).marks() == {}
    engine.dispose()
