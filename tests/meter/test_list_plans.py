"""Every question about usage is answered by an index, on either database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from control_plane.domain.metering import Outcome
from control_plane.domain.series import Span
from control_plane.store.engine import create_engine
from control_plane.store.invocation_queries import CallFilter, InvocationReader
from control_plane.store.series_queries import SeriesReader
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_queries import UsageReader
from control_plane.store.usage_tables import USAGE_SCHEMA
from tests.support.plans import plans_of, walks

_ORG, _PRJ, _FN = "org_1", ("prj_1",), "fn_1"
_SPAN = Span(0, 604_800_000, 3_600_000)
_QUESTIONS: dict[str, Callable[[Engine], object]] = {
    "usage by day": lambda engine: UsageReader(engine).totals("prj_1", (0, 9), "day", {}),
    "when keys were used": lambda engine: UsageReader(engine).last_used(["key_1", "key_2"]),
    "invocations": lambda engine: InvocationReader(engine).calls("prj_1", CallFilter(), (9, 9), 50),
    "invocations of a function": lambda engine: InvocationReader(engine).calls(
        "prj_1", CallFilter(function=_FN), None, 50
    ),
    "invocations, cold": lambda engine: InvocationReader(engine).calls(
        "prj_1", CallFilter(cold=True), None, 50
    ),
    "invocations, failed": lambda engine: InvocationReader(engine).calls(
        "prj_1", CallFilter(outcomes=(Outcome.FAILED,)), None, 50
    ),
    "invocations of a request": lambda engine: InvocationReader(engine).by_request(_ORG, "req_1", 50),
    "the busiest functions": lambda engine: SeriesReader(engine).busiest(_PRJ, "", _SPAN, 50),
    "the monitor's series": lambda engine: SeriesReader(engine).steps(_PRJ, [_FN], _SPAN, ("function",)),
    "the queue": lambda engine: SeriesReader(engine).waits(_PRJ, "", _SPAN),
    "instances": lambda engine: SeriesReader(engine).instances(_PRJ, [_FN], _SPAN, ("function",)),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'usage.db'}", schema=USAGE_SCHEMA)
    else:
        engine = create_engine(request.getfixturevalue("postgres_url"), schema=USAGE_SCHEMA)
    migrate_usage(engine)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("name", _QUESTIONS)
def test_a_question_about_usage_is_answered_by_index(name: str, engine: Engine) -> None:
    with plans_of(engine) as plans:
        _QUESTIONS[name](engine)
    assert plans
    assert not [walk for plan in plans for walk in walks(plan)], "\n".join(plans)


def test_sums_are_made_without_looking_up_a_row(engine: Engine) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL looks at rows until they were vacuumed")
    for name in ("usage by day", "the busiest functions", "the queue"):
        with plans_of(engine) as plans:
            _QUESTIONS[name](engine)
        assert "COVERING INDEX" in plans[0], plans
