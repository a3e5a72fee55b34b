"""Questions about usage get the answers that the records give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from control_plane.domain.metering import DAY_MS, HOUR_MS, Call, InstanceExit, InstanceStart, StreamEnd
from control_plane.errors import Invalid
from control_plane.services.usage import GROUPS, Usage
from control_plane.store.engine import create_engine
from control_plane.store.usage_intake import Intake, Reject
from control_plane.store.usage_ledger import UsageLedger
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_queries import UsageReader
from control_plane.store.usage_tables import usage_events, usage_hourly

# The first millisecond of a day, UTC.
DAY = 1_760_054_400_000


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'usage.db'}", schema="usage")
    else:
        engine = create_engine(request.getfixturevalue("postgres_url"), schema="usage")
    migrate_usage(engine)
    with engine.begin() as connection:
        for table in usage_events.metadata.sorted_tables:
            connection.execute(table.delete())
    yield engine
    engine.dispose()


@pytest.fixture
def usage(engine: Engine) -> Usage:
    return Usage(UsageReader(engine))


def a_call(at: int, number: int = 0, **changes: Any) -> Call:
    call = Call(
        f"{DAY + at}-{number}", "", "org", "prj", "fn1", "v1", "k1", "t1", DAY + at, "GET", 200, "--", "",
        0, 0, 40, 40, 10, 20, False, 128,
    )  # fmt: skip
    return call._replace(**changes)


def store(engine: Engine, **records: Any) -> None:
    UsageLedger(engine).write(Intake(DAY + 5, **records))


@pytest.fixture
def two_days(engine: Engine) -> None:
    calls = [
        a_call(0),
        a_call(1, status=500, api_key="k2"),
        a_call(HOUR_MS, function="fn2", version="v2", target="t2", streaming=True),
        a_call(DAY_MS, refusal="key_scope", status=403, connect_ms=-1),
        a_call(DAY_MS + 1, project="other", function="fn9", version="v9"),
    ]
    start = InstanceStart("i1", "t1", "v1", DAY - 1, DAY + 30, 2)
    store(engine, calls=calls, starts=[start])


def grouped(usage: Usage, by: str) -> dict[str, tuple[int, int]]:
    return {
        total.group: (total.calls, total.billed_ms)
        for total in usage.totals("prj", (DAY, DAY + 2 * DAY_MS), by)
    }


@pytest.mark.usefixtures("two_days")
def test_totals_by_every_group(usage: Usage) -> None:
    assert grouped(usage, "function") == {"fn1": (3, 21), "fn2": (1, 0)}
    assert grouped(usage, "version") == {"v1": (3, 21), "v2": (1, 0)}
    assert grouped(usage, "key") == {"k1": (3, 10), "k2": (1, 11)}
    assert grouped(usage, "day") == {str(DAY): (3, 21), str(DAY + DAY_MS): (1, 0)}
    assert grouped(usage, "hour").keys() == {str(DAY), str(DAY + HOUR_MS), str(DAY + DAY_MS)}
    assert grouped(usage, "outcome") == {"answered": (2, 10), "failed": (1, 11), "refused": (1, 0)}


@pytest.mark.usefixtures("two_days")
def test_totals_of_one_function_or_key(usage: Usage) -> None:
    span = (DAY, DAY + 2 * DAY_MS)
    calls = {one.group: one.calls for one in usage.totals("prj", span, "key", function="fn1")}
    assert calls == {"k1": 2, "k2": 1}
    assert {one.group: one.calls for one in usage.totals("prj", span, "day", key="k2")} == {str(DAY): 1}
    assert usage.totals("prj", span, "day", function="fn2", key="k2") == []


@pytest.mark.parametrize("hours", [(0, 96), (5, 91), (5, 20), (5, 30), (24, 72), (30, 48), (90, 91)])
def test_days_and_the_hours_around_them_add_up(engine: Engine, usage: Usage, hours: tuple[int, int]) -> None:
    store(
        engine, calls=[a_call(number * HOUR_MS + 7, status=200 + 300 * (number % 2)) for number in range(96)]
    )
    start, end = (DAY + hour * HOUR_MS for hour in hours)
    by_hour = usage.totals("prj", (start, end), "hour")
    assert sum(one.calls for one in by_hour) == hours[1] - hours[0]
    (whole,) = usage.totals("prj", (start, end), "function")
    assert whole.calls == hours[1] - hours[0]
    assert whole.billed_ms == sum(one.billed_ms for one in by_hour)
    by_day = {int(one.group): one.calls for one in usage.totals("prj", (start, end), "day")}
    assert by_day == Counter(int(one.group) // DAY_MS * DAY_MS for one in by_hour)


@pytest.mark.usefixtures("two_days")
def test_a_total_says_outcomes_faults_and_gigabytes(usage: Usage) -> None:
    (total,) = [each for each in usage.totals("prj", (DAY, DAY + 2 * DAY_MS)) if each.group == "fn1"]
    assert total.outcomes == {"answered": 1, "failed": 1, "refused": 1}
    assert total.faults == {"nobody": 1, "author": 1, "caller": 1}
    assert (total.billed_calls, total.cold_calls, total.memory_mb_ms) == (2, 2, 21 * 128)
    assert (total.bytes_in, total.bytes_out) == (30, 60)


@pytest.mark.usefixtures("two_days")
def test_a_span_covers_the_hours_that_it_touches(usage: Usage) -> None:
    assert [total.calls for total in usage.totals("prj", (DAY + 10, DAY + 20))] == [2]
    assert usage.totals("prj", (DAY + 2 * HOUR_MS, DAY + 3 * HOUR_MS)) == []


@pytest.mark.parametrize(("start", "end"), [(5, 5), (6, 5), (-1, 5), (0, 401 * DAY_MS)])
def test_an_empty_or_endless_span_is_refused(usage: Usage, start: int, end: int) -> None:
    with pytest.raises(Invalid, match="span"):
        usage.totals("prj", (start, end))


def test_an_unknown_group_is_refused_with_the_known_ones(usage: Usage) -> None:
    with pytest.raises(Invalid) as caught:
        usage.totals("prj", (0, 5), "colour")
    assert all(name in str(caught.value.hint) for name in GROUPS)


@pytest.mark.usefixtures("two_days")
def test_an_export_holds_every_sum_once_in_order(usage: Usage) -> None:
    hours = list(usage.export(["prj", "other"], DAY, DAY + 2 * DAY_MS, HOUR_MS))
    assert [at for at, _ in hours] == sorted(at for at, _ in hours)
    assert sum(int(row[5]) for _, row in hours) == 5
    assert [(at - DAY, row[:5]) for at, row in hours][:2] == [
        (0, ("prj", "fn1", "v1", "k1", "answered")),
        (0, ("prj", "fn1", "v1", "k2", "failed")),
    ]
    days = list(usage.export(["prj"], DAY, DAY + 2 * DAY_MS, DAY_MS))
    assert {at for at, _ in days} == {DAY, DAY + DAY_MS}
    assert sum(int(row[5]) for _, row in days) == 4
    assert list(usage.export([], DAY, DAY + DAY_MS, DAY_MS)) == []


def whats(usage: Usage) -> dict[str, bool]:
    found = usage.reconcile(DAY, DAY + DAY_MS)
    assert found.agrees == all(each.explained for each in found.differences)
    return {f"{each.what}{each.subject}": each.explained for each in found.differences}


def test_counts_that_agree_have_no_differences(engine: Engine, usage: Usage) -> None:
    store(
        engine,
        calls=[
            a_call(10),
            a_call(11, api_key="k2"),
            a_call(12, refusal="key_scope", status=403, connect_ms=-1),
        ],
        starts=[InstanceStart("i1", "t1", "v1", DAY + 5, DAY + 9, 2)],
        exits=[InstanceExit("i1", "t1", "v1", "idle", 0, 9, 2, DAY + 900)],
    )
    assert whats(usage) == {}


def test_a_running_instance_explains_what_it_has_not_said_yet(engine: Engine, usage: Usage) -> None:
    store(engine, calls=[a_call(10)], starts=[InstanceStart("i1", "t1", "v1", DAY + 5, DAY + 9, 2)])
    assert whats(usage) == {"hostt1": True}


@pytest.mark.parametrize("served", [0, 3])
def test_a_host_that_served_other_calls_than_the_gateway_logged_is_a_difference(
    engine: Engine, usage: Usage, served: int
) -> None:
    store(
        engine,
        calls=[a_call(10)],
        starts=[InstanceStart("i1", "t1", "v1", DAY + 5, DAY + 9, 2)],
        exits=[InstanceExit("i1", "t1", "v1", "idle", 0, 9, served, DAY + 900)],
    )
    assert whats(usage) == {"hostt1": False}


def test_lost_rows_and_wrong_sums_are_differences(engine: Engine, usage: Usage) -> None:
    store(engine, calls=[a_call(10, target=""), a_call(11, target="")])
    with engine.begin() as connection:
        connection.execute(usage_events.delete().where(usage_events.c.accepted_ms == DAY + 10))
    assert whats(usage) == {"events": False, "sums": False}
    UsageLedger(engine).rebuild()
    assert whats(usage) == {"events": False}
    with engine.begin() as connection:
        connection.execute(usage_hourly.update().values(calls=7))
    assert whats(usage) == {"events": False, "sums": False}


def test_repeats_damage_and_streams_are_named(engine: Engine, usage: Usage) -> None:
    stream = a_call(10, target="", streaming=True)
    end = StreamEnd("nowhere", DAY + 10, 5, 0, 1, 1, "--", 200)
    store(engine, calls=[stream, stream], ends=[end], rejects=[Reject("access", 0, 3, "not JSON", b"abc")])
    assert whats(usage) == {
        "repeated": True,
        "rejects": False,
        "open_streams": True,
        "ends_without_call": False,
    }
    UsageLedger(engine).close_lost_streams(DAY + DAY_MS)
    assert "lost_streams" in whats(usage)
