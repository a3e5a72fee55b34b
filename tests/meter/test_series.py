"""The monitor's sums follow the events, whatever order the records come in, and can be made anew."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from control_plane.adapters.embedded.host_telemetry import HostTelemetry
from control_plane.domain.metering import HOUR_MS, Call, InstanceExit, InstanceStart, StreamEnd
from control_plane.domain.monitoring import Reading, Running
from control_plane.domain.series import MINUTE_MS, Span
from control_plane.errors import Unavailable
from control_plane.meter.sampler import Sampler
from control_plane.ports import Telemetry
from control_plane.store.engine import create_engine
from control_plane.store.series_queries import SeriesReader
from control_plane.store.series_tables import monitor_system, usage_hours, usage_minutes, usage_totals
from control_plane.store.usage_intake import Intake
from control_plane.store.usage_ledger import UsageLedger
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_series import SeriesLedger
from control_plane.store.usage_tables import metadata
from tests.support.clock import FakeClock

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
        0, 0, 40, 40, 10, 20, False, 128,
    )  # fmt: skip
    return call._replace(**changes)


def sums(engine: Engine) -> tuple[set[Any], set[Any], set[Any]]:
    with engine.begin() as connection:
        return (
            {tuple(row) for row in connection.execute(select(usage_minutes))},
            {tuple(row) for row in connection.execute(select(usage_totals))},
            {tuple(row) for row in connection.execute(select(usage_hours))},
        )


@pytest.mark.parametrize("seed", range(6))
def test_the_sums_are_those_of_a_rebuild_in_any_order(engine: Engine, seed: int) -> None:
    chance = random.Random(seed)
    records: list[Any] = []
    for number in range(40):
        at = chance.randrange(3 * MINUTE_MS)
        call = a_call(
            number,
            at,
            function=f"fn{number % 2}",
            version=f"v{number % 2}",
            target=f"t{number % 2}",
            response_ms=chance.choice([0, 1, 2, 30, 40_000]),
            status=chance.choice([200, 404, 500]),
            streaming=number % 7 == 0,
            queue_ms=chance.choice([-1, 0, 9]),
        )
        if number % 9 == 0:
            call = call._replace(refusal="function_failed", status=502, response_ms=-1)
        records.append(call)
        if call.streaming and number % 2:
            records.append(StreamEnd(call.id, AT + at, 900, 4, 10, 20, "--", 200))
    records += [
        InstanceStart(f"i{n}", f"t{n % 2}", f"v{n % 2}", AT + n * 9_000, AT + n * 9_500, 1) for n in range(8)
    ]
    records += [
        InstanceExit(f"i{n}", f"t{n % 2}", f"v{n % 2}", "crashed", 1, 1, 1, AT + n * 20_000) for n in range(8)
    ]
    chance.shuffle(records)
    ledger = UsageLedger(engine)
    for first in range(0, len(records), 11):
        intake = Intake(AT)
        places = {
            Call: intake.calls,
            StreamEnd: intake.ends,
            InstanceStart: intake.starts,
            InstanceExit: intake.exits,
        }
        for record in records[first : first + 11]:
            places[type(record)].append(record)  # type: ignore[attr-defined]
        ledger.write(intake)
    ledger.close_lost_streams(AT + MINUTE_MS)
    before = sums(engine)
    assert before[0]
    SeriesLedger(engine).rebuild()
    assert sums(engine) == before


def test_sums_are_missing_only_beside_calls_without_them(engine: Engine) -> None:
    series = SeriesLedger(engine)
    assert not series.missing()
    UsageLedger(engine).write(Intake(AT, calls=[a_call(1)]))
    assert not series.missing()
    with engine.begin() as connection:
        connection.execute(usage_totals.delete())
    assert series.missing()
    series.rebuild(since_ms=AT + 1)
    minutes, totals, hours = sums(engine)
    assert (minutes, len(totals), hours) == (set(), 1, set())


def test_what_is_too_old_goes_and_totals_stay(engine: Engine) -> None:
    series = SeriesLedger(engine)
    UsageLedger(engine).write(Intake(AT, calls=[a_call(1), a_call(2, 5 * MINUTE_MS)]))
    series.keep([Reading(AT, {"load": 1.0}, {("org", "prj", "fn1", "v1"): 2})])
    assert series.prune(AT + MINUTE_MS) == 3
    assert series.prune(AT + MINUTE_MS) == 0
    minutes, totals, hours = sums(engine)
    assert (len(minutes), len(totals), len(hours)) == (1, 1, 1)
    assert series.prune(AT + 2 * HOUR_MS) == 2
    assert [len(rows) for rows in sums(engine)] == [0, 1, 0]


def test_steps_of_hours_say_what_their_minutes_say(engine: Engine) -> None:
    chance = random.Random(1)
    calls = [a_call(number, chance.randrange(5 * HOUR_MS), queue_ms=9) for number in range(60)]
    UsageLedger(engine).write(Intake(AT, calls=calls))
    reader = SeriesReader(engine)
    start = AT // HOUR_MS * HOUR_MS
    coarse, fine = (Span(start, start + 6 * HOUR_MS, step) for step in (HOUR_MS, MINUTE_MS))
    by_hour: dict[int, list[int]] = {}
    for step, *values in reader.steps(["prj"], ["fn1"], fine, []):
        found = by_hour.setdefault(step // HOUR_MS * HOUR_MS, [0] * len(values))
        by_hour[step // HOUR_MS * HOUR_MS] = [a + b for a, b in zip(found, values, strict=True)]
    assert {step: values for step, *values in reader.steps(["prj"], ["fn1"], coarse, [])} == by_hour
    assert sum(row[1] for row in reader.waits(["prj"], "", coarse)) == 60
    assert reader.busiest(["prj"], "", coarse, 5) == [("prj", "fn1")]


def test_samples_are_means_by_step_and_instances_the_most(engine: Engine) -> None:
    series, reader = SeriesLedger(engine), SeriesReader(engine)
    here, there = ("org", "prj", "fn1", "v1"), ("org", "prj", "fn1", "v2")
    series.keep(
        [
            Reading(AT, {"load": 1.0, "queued": None}, {here: 2, there: 1}),
            Reading(AT + 10_000, {"load": 3.0}, {here: 5}),
            Reading(AT + MINUTE_MS, {"load": 8.0}, {there: 4}),
        ]
    )
    span = Span(AT, AT + 2 * MINUTE_MS, MINUTE_MS)
    assert [tuple(row) for row in reader.readings(span, ("load", "queued"))] == [
        (AT, 2.0, None),
        (AT + MINUTE_MS, 8.0, None),
    ]
    both = {tuple(row) for row in reader.instances(["prj"], ["fn1"], span, ("function",))}
    assert both == {(AT, "fn1", 6), (AT + MINUTE_MS, "fn1", 4)}
    wide = Span(AT, AT + 2 * MINUTE_MS, 2 * MINUTE_MS)
    assert {tuple(row) for row in reader.instances(["prj"], ["fn1"], wide, ("function", "version"))} == {
        (AT, "fn1", "v1", 5),
        (AT, "fn1", "v2", 4),
    }
    assert reader.newest()["load"] == 8.0
    assert reader.running("org", AT) == [("fn1", "v1", 5), ("fn1", "v2", 4)]
    assert reader.running("other", AT) == []


def test_steps_and_totals_are_of_the_functions_that_are_meant(engine: Engine) -> None:
    calls = [
        a_call(1),
        a_call(2, 10, status=500),
        a_call(3, MINUTE_MS),
        a_call(4, 0, function="fn2", version="v2", target="t2"),
        a_call(5, 0, project="other"),
        a_call(6, 0, organization="foreign", project="far"),
    ]
    UsageLedger(engine).write(Intake(AT, calls=calls))
    reader = SeriesReader(engine)
    span = Span(AT, AT + 2 * MINUTE_MS, MINUTE_MS)
    assert reader.busiest(["prj"], "", span, 5) == [("prj", "fn1"), ("prj", "fn2")]
    assert reader.busiest(["prj"], "fn2", span, 5) == [("prj", "fn2")]
    assert reader.busiest(["prj"], "", span, 1) == [("prj", "fn1")]
    rows = reader.steps(["prj"], ["fn1"], span, ("function",))
    assert [(row[0], row[1], int(row[2]), int(row[4])) for row in rows] == [
        (AT, "fn1", 2, 1),
        (AT + MINUTE_MS, "fn1", 1, 0),
    ]
    assert {row[0] for row in reader.totals("org", AT, 9)} == {"prj", "other"}
    assert reader.totals("org", AT + 2 * MINUTE_MS, 9) == []


class _Host:
    def __init__(self) -> None:
        self.up = True

    def status(self) -> Mapping[str, Any]:
        if not self.up:
            raise Unavailable("The function host does not answer.")
        target = {"organization": "o", "project": "p", "function": "f", "version": "v", "instances": [{}, {}]}
        return {"targets": {"t1": target, "t2": target, "t3": {**target, "instances": []}}}


def test_a_sample_leaves_out_what_cannot_be_read_and_says_so_once() -> None:
    host, said = _Host(), []
    numbers = {"machine": lambda: {"load": 0.5}}
    sampler = Sampler(
        FakeClock(), numbers, {"host": HostTelemetry(host.status)}, lambda what, why: said.append((what, why))
    )
    whole = sampler.sample()
    assert dict(whole.values) == {"load": 0.5, "instances": 4.0}
    assert whole.instances == {("o", "p", "f", "v"): 4}
    host.up = False
    for _ in range(3):
        assert dict(sampler.sample().values) == {"load": 0.5}
    host.up = True
    sampler.sample()
    assert said == [
        ("the monitor cannot read the host", "The function host does not answer."),
        ("the monitor reads the host again", ""),
    ]


def test_samples_that_could_not_be_stored_come_again_in_order() -> None:
    sampler = Sampler(FakeClock(), {}, {}, lambda _what, _why: None)
    first, second = Reading(1, {}), Reading(2, {})
    sampler.give_back([first, second])
    assert sampler.taken() == [first, second]
    assert sampler.taken() == []


class _Elsewhere:
    """A cluster beside the host."""

    def read(self) -> Running:
        return Running({("o", "p", "f", "v"): 3, ("o", "p", "g", "v"): 1}, {"queued": 5.0})


def test_what_runs_in_several_places_is_added_up_and_one_that_is_silent_hides_no_other() -> None:
    host = _Host()
    places: dict[str, Telemetry] = {"host": HostTelemetry(host.status), "cluster": _Elsewhere()}
    numbers = {"gateway": lambda: {"queued": 2.0}}
    sampler = Sampler(FakeClock(), numbers, places, lambda _what, _why: None)
    both = sampler.sample()
    assert dict(both.values) == {"queued": 7.0, "instances": 8.0}
    assert both.instances == {("o", "p", "f", "v"): 7, ("o", "p", "g", "v"): 1}
    host.up = False
    assert dict(sampler.sample().values) == {"queued": 7.0, "instances": 4.0}


def test_a_sample_is_stored_once(engine: Engine) -> None:
    series = SeriesLedger(engine)
    for _ in range(2):
        series.keep([Reading(AT, {"load": 1.0})])
    with engine.begin() as connection:
        assert len(connection.execute(select(monitor_system)).all()) == 1
