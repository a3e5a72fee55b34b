"""Which part of a file a Range means: the standard's cases, and any header against a naive reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.byte_ranges import ByteRange, RangeNotSatisfiable, asked_part


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=2-4", (2, 4)),
        ("bytes=2-", (2, 9)),
        ("bytes=2-99", (2, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=-99", (0, 9)),
        ("BYTES=9-", (9, 9)),
    ],
)
def test_a_part_is_read_as_the_standard_says(wanted: str, part: tuple[int, int]) -> None:
    found = asked_part(wanted, "", "tag", 10)
    assert found == ByteRange(*part)
    assert found.header(10) == f"bytes {part[0]}-{part[1]}/10"
    assert found.length == part[1] - part[0] + 1


@pytest.mark.parametrize(
    "wanted",
    ["", "bytes=-", "bytes=4-2", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "bytes=٣-٤", "bytes 0-1"],
)
def test_what_is_no_single_part_is_the_whole(wanted: str) -> None:
    assert asked_part(wanted, "", "tag", 10) is None


@pytest.mark.parametrize(
    ("wanted", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)]
)
def test_a_part_behind_the_end_is_refused(wanted: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        asked_part(wanted, "", "tag", size)
    assert refused.value.size == size
    assert refused.value.hint


@pytest.mark.parametrize("condition", ['"other"', 'W/"tag"', "tag", "Sun, 22 Nov 2026 10:00:00 GMT"])
def test_a_part_of_other_bytes_is_never_given(condition: str) -> None:
    assert asked_part("bytes=2-4", condition, "tag", 10) is None
    # Nor is the request refused: its sender wants the whole then.
    assert asked_part("bytes=99-", condition, "tag", 10) is None


def test_a_part_of_the_same_bytes_is_given() -> None:
    assert asked_part("bytes=2-4", '"tag"', "tag", 10) == ByteRange(2, 4)


@given(
    first=st.none() | st.integers(0, 40),
    last=st.none() | st.integers(0, 40),
    size=st.integers(0, 30),
)
def test_parts_agree_with_counting_bytes(first: int | None, last: int | None, size: int) -> None:
    content = bytes(range(size))
    if first is not None:
        expected = content[first:] if last is None else content[first : last + 1]
    else:
        expected = content[-last:] if last else b""
    shown = "bytes=" + ("" if first is None else str(first)) + "-" + ("" if last is None else str(last))
    try:
        part = asked_part(shown, "", "tag", size)
    except RangeNotSatisfiable:
        assert expected == b""
        return
    if part is None:
        unreadable = first is None and last is None
        assert unreadable or (first is not None and last is not None and last < first)
        return
    assert content[part.first : part.last + 1] == expected
    assert part.length == len(expected) > 0
