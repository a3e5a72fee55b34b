"""What guards measure, and when a key last called, from the meter's own rows on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from control_plane.domain.metering import HOUR_MS, Call
from control_plane.domain.release_guards import Figures
from control_plane.store import guard_figures
from control_plane.store.engine import create_engine
from control_plane.store.guard_figures import GuardFigures
from control_plane.store.usage_intake import Intake
from control_plane.store.usage_ledger import UsageLedger
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_queries import UsageReader
from control_plane.store.usage_tables import usage_events

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


def a_call(at: int, **changes: Any) -> Call:
    call = Call(
        f"{DAY + at}-{at}", "", "org", "prj", "fn1", "v1", "k1", "t1", DAY + at, "GET", 200, "--", "",
        0, 0, 40, 40, 10, 20, False, 128,
    )  # fmt: skip
    return call._replace(**changes)


def store(engine: Engine, *calls: Call) -> None:
    UsageLedger(engine).write(Intake(DAY + 5, calls=list(calls)))


def measure(engine: Engine, since: int = 0, until: int = 10_000, version: str = "v1") -> Figures:
    return GuardFigures(engine).measure("fn1", version, DAY + since, DAY + until)


def test_only_what_author_or_platform_spoiled_counts_as_failed(engine: Engine) -> None:
    refused = {"refusal": "rate_limited", "status": 429, "connect_ms": -1, "response_ms": -1, "target": "t1"}
    store(
        engine,
        a_call(1),
        a_call(2, status=404),
        a_call(3, status=500),
        a_call(4, refusal="queue_full", status=503, connect_ms=-1, response_ms=-1),
        a_call(5, refusal="function_unavailable", status=503, connect_ms=-1, response_ms=-1),
        a_call(6, **refused),
        # Left by its caller before the answer began.
        a_call(7, status=-1, termination="CD", response_ms=-1),
        a_call(8, version="v2", status=500),
        a_call(9, function="fn2", status=500),
    )
    assert measure(engine) == Figures(calls=5, failed=3, p95_ms=40)
    assert measure(engine, version="v2") == Figures(calls=1, failed=1, p95_ms=40)
    assert measure(engine, version="v3") == Figures()


def test_the_p95_is_what_callers_felt(engine: Engine) -> None:
    store(
        engine, *(a_call(number, response_ms=number, queue_ms=100, connect_ms=1) for number in range(1, 101))
    )
    assert measure(engine).p95_ms == 95 + 101


def test_only_the_window_counts_and_what_was_accepted_in_it(engine: Engine) -> None:
    # Accepted before the release went live, dispatched after it had waited in the queue.
    store(engine, a_call(100, status=500, queue_ms=900), a_call(1_000), a_call(1_500), a_call(5_000))
    assert measure(engine, since=1_000, until=2_000) == Figures(calls=2, failed=0, p95_ms=40)


def test_a_busy_function_is_judged_by_its_newest_calls(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(engine, *(a_call(number, status=500 if number <= 50 else 200) for number in range(1, 101)))
    monkeypatch.setattr(guard_figures, "_MOST_CALLS", 50)
    assert measure(engine) == Figures(calls=50, failed=0, p95_ms=40)


def test_the_figures_are_found_by_an_index(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'usage.db'}", schema="usage")
    migrate_usage(engine)
    plans: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            found = cursor.connection.execute("EXPLAIN QUERY PLAN " + statement, parameters).fetchall()
            plans.append(" ".join(str(row[3]) for row in found))

    measure(engine)
    assert len(plans) == 3
    assert all(
        "usage_events_function (function=? AND dispatched_ms>? AND dispatched_ms<?)" in one for one in plans
    )
    plans.clear()
    UsageReader(engine).last_used(["k1", "k2"])
    assert plans[0].count("usage_hourly_key (api_key=?)") == 2
    engine.dispose()


def test_a_key_was_last_used_in_the_hour_of_its_newest_call(engine: Engine) -> None:
    store(engine, a_call(5), a_call(2 * HOUR_MS + 7), a_call(9, api_key="k2"))
    reader = UsageReader(engine)
    assert reader.last_used(["k1", "k2", "k3"]) == {"k1": DAY + 2 * HOUR_MS, "k2": DAY}
    assert reader.last_used([]) == {}
