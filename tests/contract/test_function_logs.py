"""The FunctionLogs port: day files and the fake answer alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.embedded.function_logs import DayFileLogs
from control_plane.errors import Invalid
from control_plane.ports import FunctionLogs
from tests.support.fake_logs import FakeLogs

FUNCTION = "fn_" + "0" * 26
Write = Callable[[Mapping[str, Any]], None]


@pytest.fixture(params=["day files", "fake"])
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FunctionLogs, Write]:
    """Return an implementation and how a record gets into it."""
    if request.param == "fake":
        fake = FakeLogs()
        return fake, lambda record: fake.records.setdefault(FUNCTION, []).append(record)
    return DayFileLogs(tmp_path), lambda record: append(tmp_path, "2026-06-01", json.dumps(record) + "\n")


def append(folder: Path, day: str, text: str) -> None:
    path = folder / FUNCTION / f"{day}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(text)


def messages(records: tuple[Mapping[str, Any], ...]) -> list[str]:
    return [record["message"] for record in records]


def test_the_newest_come_oldest_first(logs: tuple[FunctionLogs, Write]) -> None:
    port, write = logs
    assert port.read(FUNCTION).records == ()
    for number in range(5):
        write({"message": f"m{number}", "request_id": f"r{number % 2}"})
    assert messages(port.read(FUNCTION, limit=2).records) == ["m3", "m4"]
    assert messages(port.read(FUNCTION, request="r1").records) == ["m1", "m3"]


def test_a_position_continues_behind_what_was_seen(logs: tuple[FunctionLogs, Write]) -> None:
    port, write = logs
    write({"message": "first"})
    seen = port.read(FUNCTION)
    assert port.read(FUNCTION, after=seen.position).records == ()
    write({"message": "second"})
    more = port.read(FUNCTION, after=seen.position)
    assert messages(more.records) == ["second"]
    assert port.read(FUNCTION, after=more.position).records == ()


def test_a_line_that_is_being_written_waits_for_its_end(tmp_path: Path) -> None:
    port = DayFileLogs(tmp_path)
    append(tmp_path, "2026-06-01", '{"message": "whole"}\n{"message": "ha')
    seen = port.read(FUNCTION)
    assert messages(seen.records) == ["whole"]
    append(tmp_path, "2026-06-01", 'lf"}\nno json\n[]\n')
    assert messages(port.read(FUNCTION, after=seen.position).records) == ["half"]


def test_days_follow_each_other_and_only_the_newest_two_are_read_at_first(tmp_path: Path) -> None:
    port = DayFileLogs(tmp_path)
    for day in ("2026-06-01", "2026-06-02"):
        append(tmp_path, day, json.dumps({"message": day}) + "\n")
    seen = port.read(FUNCTION)
    assert messages(seen.records) == ["2026-06-01", "2026-06-02"]
    append(tmp_path, "2026-06-03", '{"message": "next day"}\n')
    assert messages(port.read(FUNCTION, after=seen.position).records) == ["next day"]
    assert messages(port.read(FUNCTION).records) == ["2026-06-02", "next day"]


@pytest.mark.parametrize("function", ["..", "../../keys", "fn_short", "", "fn_" + "0" * 25 + "/"])
def test_no_name_leaves_the_folder(tmp_path: Path, function: str) -> None:
    with pytest.raises(Invalid):
        DayFileLogs(tmp_path).read(function)


@pytest.mark.parametrize("after", ["x", "2026-06-01", "2026-06-01:-1", "../a:1", "2026-06-01:1:2"])
def test_a_position_that_was_not_handed_out_is_refused(tmp_path: Path, after: str) -> None:
    with pytest.raises(Invalid):
        DayFileLogs(tmp_path).read(FUNCTION, after=after)


def test_the_records_around_a_time_are_found_in_a_long_file(tmp_path: Path) -> None:
    port = DayFileLogs(tmp_path)
    noon = 1_780_315_200_000
    lines = [
        {"ts": f"2026-06-01T12:{number // 60:02d}:{number % 60:02d}.000Z", "message": f"m{number}"}
        for number in range(600)
    ]
    append(tmp_path, "2026-06-01", "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    for second in (0, 1, 299, 598, 599):
        found = port.read(FUNCTION, around_ms=noon + second * 1_000, limit=3)
        # It begins a second earlier, as clocks and buffers differ.
        first = max(second - 1, 0)
        assert messages(found.records) == [f"m{n}" for n in range(first, min(first + 3, 600))]
    assert port.read(FUNCTION, around_ms=noon + 700_000).records == ()
    assert messages(port.read(FUNCTION, around_ms=noon - 5_000, limit=1).records) == ["m0"]


def test_the_records_around_a_time_include_the_day_after_and_no_later_one(tmp_path: Path) -> None:
    port = DayFileLogs(tmp_path)
    for day in ("2026-05-31", "2026-06-01", "2026-06-02", "2026-06-03"):
        line = {"ts": f"{day}T23:59:59.900Z", "message": day, "request_id": "r"}
        append(tmp_path, day, json.dumps(line, separators=(",", ":")) + "\n")
    at = 1_780_358_399_950
    assert messages(port.read(FUNCTION, around_ms=at, request="r").records) == ["2026-06-01", "2026-06-02"]
