"""Rules about drafts and declarations."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain import functions
from control_plane.domain.desired import Limits
from control_plane.domain.functions import Declaration, Draft, DraftFile, check_declaration, check_path
from control_plane.errors import Invalid, NotFound, PreconditionFailed, PreconditionRequired, TooLarge


def draft(*paths: str) -> Draft:
    empty = Draft("fn_1", "org_1", "prj_1", 3, (), "", "usr_1", 0)
    return empty.with_files(tuple(DraftFile(path, "sha256:" + "0" * 64, 10) for path in paths))


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\\b", "a\nb", "x" * 301, "a/", "\u202eab"]
)
def test_paths_that_leave_or_confuse_are_refused(path: str) -> None:
    with pytest.raises(Invalid):
        check_path(path)


@given(st.lists(st.sampled_from(["a", "b.py", "ü", "c d"]), min_size=1, max_size=4))
def test_plain_relative_paths_are_kept(parts: list[str]) -> None:
    assert check_path("/".join(parts)) == "/".join(parts)


def test_files_are_sorted_and_replaced_by_path() -> None:
    changed = draft("b", "a").with_file(DraftFile("a", "sha256:" + "1" * 64, 4))
    assert [(file.path, file.size) for file in changed.files] == [("a", 4), ("b", 10)]
    assert [file.path for file in changed.without_file("a").files] == ["b"]
    with pytest.raises(NotFound, match="no file"):
        changed.without_file("c")


def test_a_path_is_a_file_or_a_folder() -> None:
    with pytest.raises(Invalid, match="at once"):
        draft("a", "a/b")
    with pytest.raises(Invalid, match="same path"):
        draft("a", "a")


def test_limits_hold_for_each_file_and_for_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "MAX_FILES", 2)
    with pytest.raises(TooLarge, match="3 files"):
        draft("a", "b", "c")
    monkeypatch.setattr(functions, "MAX_TOTAL_BYTES", 15)
    with pytest.raises(TooLarge, match="20 bytes in all"):
        draft("a", "b")
    monkeypatch.setattr(functions, "MAX_FILE_BYTES", 9)
    with pytest.raises(TooLarge, match="a has 10 bytes"):
        draft("a")


def test_an_edit_names_the_revision_it_was_made_on() -> None:
    one = draft("a")
    one.expect('"d3"')
    one.expect("d3")
    with pytest.raises(PreconditionRequired):
        one.expect("")
    with pytest.raises(PreconditionFailed):
        one.expect('"d2"')


def test_the_default_declaration_is_usable() -> None:
    assert check_declaration(Declaration()) == Declaration()


@pytest.mark.parametrize(
    ("pointer", "change"),
    [
        ("/runtime", {"runtime": "python2.7"}),
        ("/kind", {"kind": "cgi"}),
        ("/handler", {"handler": "os.system('x')"}),
        ("/description", {"description": "x" * 2001}),
        ("/input_schema", {"input_schema": "string"}),
        ("/output_schema", {"output_schema": 3}),
        ("/limits/memory_mb", {"limits": Limits(memory_mb=1)}),
        ("/limits/timeout_ms", {"limits": Limits(timeout_ms=0)}),
        ("/limits/concurrency", {"limits": Limits(concurrency=0)}),
        ("/limits/instances", {"limits": Limits(instances=0)}),
        ("/body_limit", {"body_limit": 0}),
        ("/cors_origins", {"cors_origins": ("https://a.example",) * 51}),
        ("/settings", {"settings": ("lower",)}),
        ("/secrets", {"secrets": ("A", "A")}),
        ("/secrets", {"settings": ("A",), "secrets": ("A",)}),
    ],
)
def test_each_part_of_a_declaration_is_checked(pointer: str, change: dict[str, object]) -> None:
    with pytest.raises(Invalid) as caught:
        check_declaration(dataclasses.replace(Declaration(), **change))  # type: ignore[arg-type]
    assert [where for where, _ in caught.value.errors] == [pointer]
