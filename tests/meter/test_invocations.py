"""Lists of calls hold exactly the calls that fit, in pages without gaps or repeats, whatever is asked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from control_plane.domain.metering import HOUR_MS, Call, InstanceStart, Outcome
from control_plane.store.engine import create_engine
from control_plane.store.invocation_queries import CallFilter, InvocationReader
from control_plane.store.usage_intake import Intake
from control_plane.store.usage_ledger import UsageLedger
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_tables import metadata

AT = 1_760_054_400_000


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'usage.db'}", schema="usage")
    else:
        engine = create_engine(request.getfixturevalue("postgres_url"), schema="usage")
    migrate_usage(engine)
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    yield engine
    engine.dispose()


def a_call(number: int, at: int = 0, **changes: Any) -> Call:
    call = Call(
        f"{AT + at}-{number}", "", "org", "prj", "fn1", "v1", "k1", "t1", AT + at, "GET", 200, "--", "",
        0, 0, 40, 40, 10, 20, False, 128, f"{number:032x}",
    )  # fmt: skip
    return call._replace(**changes)


@pytest.fixture
def calls(engine: Engine) -> list[Call]:
    """Calls of two functions over three hours and one much later, many in the same millisecond."""
    chance = random.Random(7)
    made = []
    for number in range(120):
        hour = chance.choice([0, 0, 1, 30])
        refused = number % 11 == 0
        made.append(
            a_call(
                number,
                hour * HOUR_MS + chance.randrange(5),
                function=f"fn{number % 2}",
                version=f"v{number % 3}",
                api_key="" if refused else f"k{number % 5}",
                refusal="key_missing" if refused else "",
                connect_ms=-1 if refused else 0,
                status=401 if refused else chance.choice([200, 200, 404, 500]),
                streaming=number % 17 == 0,
                project="prj" if number % 10 else "other",
            )
        )
    UsageLedger(engine).write(Intake(AT, calls=made))
    return made


def paged(reader: InvocationReader, wanted: CallFilter, size: int) -> list[str]:
    found: list[Any] = []
    before = None
    while True:
        rows = reader.calls("prj", wanted, before, size)
        found += rows
        if len(rows) < size:
            break
        before = (rows[-1].dispatched_ms, rows[-1].seq)
    order = [(row.dispatched_ms, row.seq) for row in found]
    assert order == sorted(order, reverse=True)
    return [row.id for row in found]


def fits(call: Call, wanted: CallFilter) -> bool:
    outcome = (
        Outcome.REFUSED
        if call.refusal
        else Outcome.ANSWERED
        if call.status < 400
        else Outcome.REJECTED
        if call.status < 500
        else Outcome.FAILED
    )
    return (
        call.project == "prj"
        and wanted.function in {"", call.function}
        and wanted.version in {"", call.version}
        and wanted.api_key in {"", call.api_key}
        and (not wanted.outcomes or outcome in wanted.outcomes)
        and (wanted.status is None or wanted.status[0] <= call.status <= wanted.status[1])
        and wanted.streaming in {None, call.streaming}
        and call.accepted_ms >= wanted.start_ms
        and (not wanted.end_ms or call.accepted_ms < wanted.end_ms)
    )


@pytest.mark.parametrize(
    "wanted",
    [
        CallFilter(),
        CallFilter(function="fn1"),
        CallFilter(function="fn1", version="v2"),
        CallFilter(version="v0"),
        CallFilter(api_key="k3"),
        CallFilter(api_key="k3", function="fn0", outcomes=(Outcome.FAILED,)),
        CallFilter(outcomes=(Outcome.FAILED, Outcome.REFUSED)),
        CallFilter(outcomes=(Outcome.ANSWERED,), version="v1"),
        CallFilter(function="fn0", outcomes=(Outcome.REJECTED,)),
        CallFilter(status=(400, 499)),
        CallFilter(status=(500, 500), function="fn1"),
        CallFilter(streaming=True),
        CallFilter(start_ms=AT + HOUR_MS, end_ms=AT + 2 * HOUR_MS),
        CallFilter(version="v1", start_ms=AT + 2, end_ms=AT + HOUR_MS + 3),
        CallFilter(api_key="k-unknown"),
        CallFilter(cold=True),
    ],
)
def test_a_list_holds_what_fits_in_pages(engine: Engine, calls: list[Call], wanted: CallFilter) -> None:
    reader = InvocationReader(engine)
    expected = sorted(call.id for call in calls if fits(call, wanted)) if not wanted.cold else []
    for size in (1, 7, 100):
        found = paged(reader, wanted, size)
        assert len(set(found)) == len(found)
        assert sorted(found) == expected


@pytest.mark.parametrize(
    "wanted",
    [
        CallFilter(),
        CallFilter(function="fn1"),
        CallFilter(outcomes=(Outcome.FAILED,)),
        CallFilter(streaming=True),
        CallFilter(version="v2"),
        CallFilter(api_key="k1"),
    ],
)
def test_no_list_reads_every_call(engine: Engine, calls: list[Call], wanted: CallFilter) -> None:
    assert calls
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL reads so few rows without an index, whatever there is")
    asked: list[tuple[str, Any]] = []
    event.listen(
        engine, "before_cursor_execute", lambda *args: asked.append((str(args[2]), args[3])), named=False
    )
    InvocationReader(engine).calls("prj", wanted, None, 10)
    with engine.connect() as connection:
        for statement, parameters in [one for one in asked if one[0].startswith("SELECT")]:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            assert not [row for row in plan if "SCAN usage_" in row[3]], (statement, plan)
            if "FROM usage_events" in statement:
                assert _index_of(wanted) in plan[0][3], (statement, plan)


def _index_of(wanted: CallFilter) -> str:
    if wanted.outcomes:
        return "usage_events_trouble (project=?"
    if wanted.streaming:
        return "usage_events_streaming (project=?"
    return "usage_events_function (function=?" if wanted.function else "usage_events_project (project=?"


def test_calls_are_found_by_either_id_and_stay_with_their_organization(engine: Engine) -> None:
    mine = [a_call(1, request_id="r-1"), a_call(2, 5, request_id="r-1"), a_call(3)]
    foreign = a_call(4, request_id="r-1", organization="other")
    UsageLedger(engine).write(Intake(AT, calls=[*mine, foreign]))
    reader = InvocationReader(engine)
    assert [row.id for row in reader.by_request("org", "r-1", 9)] == [mine[0].id, mine[1].id]
    assert [row.id for row in reader.by_request("org", mine[2].id, 9)] == [mine[2].id]
    assert reader.by_request("org", foreign.id, 9) == []
    assert reader.by_request("org", "", 9) == []
    assert reader.one("org", foreign.id) is None
    found = reader.one("other", foreign.id)
    assert found is not None
    assert found.trace == f"{4:032x}"


def test_the_start_that_a_call_waited_for_is_found(engine: Engine) -> None:
    start = InstanceStart("i1", "t1", "v1", AT - 5, AT + 20, 2)
    UsageLedger(engine).write(Intake(AT, calls=[a_call(1)], starts=[start]))
    reader = InvocationReader(engine)
    (row,) = reader.calls("prj", CallFilter(cold=True), None, 5)
    found = reader.start(row.target, row.ready_ms)
    assert found is not None
    assert tuple(found) == tuple(start)
    assert reader.start("t2", row.ready_ms) is None
