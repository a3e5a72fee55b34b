"""The follower reads whole lines once, survives damage, and never mistakes another file for its log."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.meter.assembly import add_access_chunk
from control_plane.meter.follower import LogChanged, LogFollower
from control_plane.store.usage_intake import Intake, LogMark
from tests.meter.lines import access_line

MEGABYTE = 2**20


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
def follow(log: Path) -> Iterator[Callable[..., LogFollower]]:
    opened: list[LogFollower] = []

    def make(mark: LogMark | None = None) -> LogFollower:
        opened.append(LogFollower("access", log, mark))
        return opened[-1]

    yield make
    for follower in opened:
        follower.close()


def append(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


def take(follower: LogFollower, limit: int = MEGABYTE) -> Intake:
    """Read all that is there, as the meter does."""
    intake = Intake(seen_ms=0)
    while chunk := follower.read(limit):
        lines = add_access_chunk(intake, chunk)
        follower.advance(follower.mark_after(chunk, lines))
    return intake


def numbers(intake: Intake) -> list[int]:
    return [int(call.id.rpartition("-")[2], 16) for call in intake.calls]


def test_a_log_that_is_not_there_yet_is_waited_for(log: Path, follow: Callable[..., LogFollower]) -> None:
    follower = follow()
    assert follower.read(MEGABYTE) is None
    append(log, access_line(1))
    assert numbers(take(follower)) == [1]


def test_an_unfinished_line_is_left_until_it_is_whole(log: Path, follow: Callable[..., LogFollower]) -> None:
    follower = follow()
    line = access_line(2)
    append(log, access_line(1) + line[:100])
    assert numbers(take(follower)) == [1]
    append(log, line[100:])
    assert numbers(take(follower)) == [2]
    assert follower.mark is not None
    assert (follower.mark.position, follower.mark.lines) == (log.stat().st_size, 2)


def test_another_follower_goes_on_from_the_mark(log: Path, follow: Callable[..., LogFollower]) -> None:
    first = follow()
    append(log, access_line(1))
    take(first)
    append(log, access_line(2))
    assert numbers(take(follow(first.mark))) == [2]


def test_a_line_of_64_kb_is_read(log: Path, follow: Callable[..., LogFollower]) -> None:
    append(log, access_line(1, path="/" + "x" * 64_000) + access_line(2))
    assert numbers(take(follow())) == [1, 2]


def test_the_record_after_a_torn_one_is_not_lost(log: Path, follow: Callable[..., LogFollower]) -> None:
    torn = access_line(2)[:200]
    append(log, access_line(1) + torn + access_line(3) + access_line(4))
    intake = take(follow())
    assert numbers(intake) == [1, 3, 4]
    (reject,) = intake.rejects
    assert (reject.position, reject.length) == (len(access_line(1)), 200)
    assert torn.startswith(reject.sample)


def test_a_callers_text_cannot_forge_a_record(log: Path, follow: Callable[..., LogFollower]) -> None:
    forged = access_line(9).decode().rstrip()
    append(log, access_line(1, path=forged)[:-30] + b"\n" + access_line(2, path=forged))
    intake = take(follow())
    assert numbers(intake) == [2]
    assert len(intake.rejects) == 1


def test_zeros_before_a_record_are_skipped(log: Path, follow: Callable[..., LogFollower]) -> None:
    append(log, access_line(1) + b"\0" * 100 + access_line(2))
    intake = take(follow())
    assert numbers(intake) == [1, 2]
    assert [(reject.position, reject.length) for reject in intake.rejects] == [(len(access_line(1)), 100)]


def test_a_hole_of_gigabytes_is_crossed_at_once(log: Path, follow: Callable[..., LogFollower]) -> None:
    append(log, access_line(1))
    os.truncate(log, 4 * 2**30)
    append(log, access_line(2))
    intake = take(follow())
    assert numbers(intake) == [1, 2]
    assert len(intake.rejects) < 5


def test_damage_without_an_end_is_passed_in_pieces(log: Path, follow: Callable[..., LogFollower]) -> None:
    append(log, b"x" * 300_000)
    follower = follow()
    intake = take(follower, 128 * 1024)
    append(log, b"xx\n" + access_line(1))
    assert numbers(take(follower)) == [1]
    assert sum(reject.length for reject in intake.rejects) >= 256 * 1024


def test_many_damaged_lines_do_not_fill_the_memory(log: Path, follow: Callable[..., LogFollower]) -> None:
    append(log, b"\n" * 200_000 + access_line(1))
    intake = take(follow())
    assert numbers(intake) == [1]
    assert len(intake.rejects) <= 1_000
    assert sum(reject.length for reject in intake.rejects) == 200_000


def counted(log: Path, follow: Callable[..., LogFollower]) -> LogFollower:
    follower = follow()
    append(log, access_line(1) + access_line(2))
    take(follower)
    return follower


def test_a_truncated_log_is_an_error(log: Path, follow: Callable[..., LogFollower]) -> None:
    follower = counted(log, follow)
    os.truncate(log, 10)
    with pytest.raises(LogChanged, match="was cut to 10 bytes"):
        follower.read(MEGABYTE)


def test_a_log_that_was_emptied_and_grew_again_is_an_error(
    log: Path, follow: Callable[..., LogFollower]
) -> None:
    follower = counted(log, follow)
    os.truncate(log, 0)
    append(log, b"".join(access_line(number) for number in range(10, 20)))
    with pytest.raises(LogChanged, match="is another file"):
        follower.read(MEGABYTE)


def test_a_log_that_was_replaced_is_an_error(log: Path, follow: Callable[..., LogFollower]) -> None:
    follower = counted(log, follow)
    log.rename(log.with_suffix(".1"))
    with pytest.raises(LogChanged, match="was removed"):
        follower.read(MEGABYTE)
    append(log, b"".join(access_line(number) for number in range(10, 20)))
    with pytest.raises(LogChanged, match="was replaced"):
        follower.read(MEGABYTE)
    with pytest.raises(LogChanged, match="is another file"):
        follow(follower.mark).read(MEGABYTE)


def test_a_log_that_is_gone_after_a_restart_is_an_error(
    log: Path, follow: Callable[..., LogFollower]
) -> None:
    mark = counted(log, follow).mark
    log.unlink()
    with pytest.raises(LogChanged, match="is missing"):
        follow(mark).read(MEGABYTE)


def test_a_link_in_the_logs_place_is_not_followed(
    log: Path, follow: Callable[..., LogFollower], tmp_path: Path
) -> None:
    log.symlink_to(tmp_path / "other")
    (tmp_path / "other").write_bytes(access_line(1))
    with pytest.raises(OSError, match="symbolic link"):
        follow().read(MEGABYTE)


def test_counted_lines_give_their_disk_back(log: Path, follow: Callable[..., LogFollower]) -> None:
    line = access_line(1, path="/" + "x" * 60_000)
    follower = follow()
    for _ in range(5):
        append(log, line * 100)
        take(follower)
    size, blocks = log.stat().st_size, log.stat().st_blocks * 512
    assert size > 25 * MEGABYTE
    if blocks >= size:
        pytest.skip("this filesystem has no holes")
    assert blocks < 10 * MEGABYTE
    append(log, access_line(2))
    assert numbers(take(follow(follower.mark))) == [2]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(st.integers(1, 900), min_size=1, max_size=20),
    limit=st.integers(600, 5_000),
    restarts=st.sets(st.integers(0, 19)),
)
def test_any_split_of_writes_and_reads_gives_each_line_once(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int], limit: int, restarts: set[int]
) -> None:
    log = tmp_path_factory.mktemp("log") / "access.log"
    data = b"".join(access_line(number) for number in range(12))
    follower = LogFollower("access", log, None)
    found: list[int] = []
    for step, size in enumerate([*pieces, len(data)]):
        append(log, data[:size])
        data = data[size:]
        found += numbers(take(follower, limit))
        if step in restarts:
            follower.close()
            follower = LogFollower("access", log, follower.mark)
    follower.close()
    assert found == list(range(12))
