"""The BreachedPasswords port: the sorted file answers as the fake does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.adapters.embedded.breached import BreachedFile, NoBreachedList
from control_plane.errors import Invalid
from tests.support.fakes import FakeBreached


def write(path: Path, passwords: list[str], digits: int = 40, count: bool = True) -> Path:
    hashes = {hashlib.sha1(one.encode()).hexdigest().upper()[:digits] for one in passwords}
    path.write_text("".join(f"{one}{':17' if count else ''}\n" for one in sorted(hashes)))
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    leaked=st.lists(st.text(max_size=8), min_size=1, max_size=300),
    others=st.lists(st.text(max_size=8), max_size=30),
    digits=st.sampled_from([12, 20, 40]),
    count=st.booleans(),
)
def test_the_file_answers_as_the_fake_does(
    tmp_path: Path, leaked: list[str], others: list[str], digits: int, count: bool
) -> None:
    fake, file = FakeBreached(), BreachedFile(write(tmp_path / "leaked", leaked, digits, count))
    fake.known = set(leaked)
    for password in [*leaked, *others]:
        assert file.holds(password) == fake.holds(password)
        assert not NoBreachedList().holds(password)


def test_a_large_file_is_searched_from_its_first_to_its_last_line(tmp_path: Path) -> None:
    leaked = [f"password {number}" for number in range(20_000)]
    file = BreachedFile(write(tmp_path / "leaked", leaked))
    assert all(file.holds(one) for one in leaked[::37])
    assert not any(file.holds(f"other {number}") for number in range(500))
    ends = sorted(leaked, key=lambda one: hashlib.sha1(one.encode()).hexdigest())
    assert file.holds(ends[0])
    assert file.holds(ends[-1])


@pytest.mark.parametrize("content", ["", "hunter2\n", "abcdef0123456789\n", "ABC:1\n"])
def test_another_file_is_refused_at_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "leaked"
    path.write_text(content)
    with pytest.raises(Invalid, match="no list of leaked passwords"):
        BreachedFile(path)
    with pytest.raises(Invalid, match="cannot be read"):
        BreachedFile(tmp_path / "absent")
