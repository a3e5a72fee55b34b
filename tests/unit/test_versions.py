"""Versions and their structural difference."""

from __future__ import annotations

import difflib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.desired import Limits
from control_plane.domain.functions import Declaration
from control_plane.domain.versions import VersionContent, VersionState, diff
from control_plane.errors import Conflict
from tests.unit.samples import a_version

names = st.sampled_from(["a.py", "b/c.txt", "d"])
contents = st.one_of(st.text("ab\n", max_size=12).map(str.encode), st.binary(max_size=4))
trees = st.dictionaries(names, contents, max_size=3)


def content(files: dict[str, bytes], **declared: object) -> VersionContent:
    declaration = replace(Declaration(), **declared)  # type: ignore[arg-type]
    return VersionContent(declaration, files, {"numpy": "2.0"})


@given(trees)
def test_the_same_content_has_no_difference(tree: dict[str, bytes]) -> None:
    assert diff(content(tree), content(dict(tree))).empty


@given(trees, trees)
def test_exactly_the_files_that_differ_are_named(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    changes = {change.path: change for change in diff(content(before), content(after)).files}
    for path in before.keys() | after.keys():
        if before.get(path) == after.get(path):
            assert path not in changes
        else:
            expected = (
                "changed" if path in before and path in after else "added" if path in after else "removed"
            )
            assert changes[path].kind == expected


@given(st.text("ab\n", max_size=20), st.text("ab\n", max_size=20))
def test_the_lines_lead_from_one_text_to_the_other(before: str, after: str) -> None:
    changes = diff(content({"f": before.encode()}), content({"f": after.encode()})).files
    if before == after:
        assert changes == ()
        return
    shown = changes[0].lines
    removed = [line[1:] for line in shown if line.startswith("-") and not line.startswith("--- ")]
    added = [line[1:] for line in shown if line.startswith("+") and not line.startswith("+++ ")]
    assert removed or added
    matcher = difflib.SequenceMatcher(None, before.split("\n"), after.split("\n"), autojunk=False)
    assert len(removed) <= len(before.split("\n")) + 1
    assert matcher.ratio() < 1


def test_what_is_not_code_is_shown_too() -> None:
    before = content({}, limits=Limits(memory_mb=128), secrets=("TOKEN",))
    after = VersionContent(
        replace(before.declaration, limits=Limits(memory_mb=512), public=True), {}, {"pandas": "3.0"}
    )
    found = diff(before, after)
    assert [(one.name, one.before, one.after) for one in found.declaration] == [
        ("limits.memory_mb", 128, 512),
        ("public", False, True),
    ]
    assert [(one.name, one.before, one.after) for one in found.dependencies] == [
        ("numpy", "2.0", None),
        ("pandas", None, "3.0"),
    ]


def test_with_nothing_before_everything_is_added() -> None:
    found = diff(None, content({"a": b"x"}))
    assert [change.kind for change in found.files] == ["added"]
    assert {"handler", "limits.memory_mb"} <= {change.name for change in found.declaration}


@pytest.mark.parametrize("binary", [b"\xff\xfe", b"a\0b"])
def test_binary_content_has_no_lines(binary: bytes) -> None:
    change = diff(content({}), content({"x": binary})).files[0]
    assert change.binary
    assert change.lines == ()


def test_a_missing_last_line_feed_shows() -> None:
    lines = diff(content({"x": b"a\n"}), content({"x": b"a"})).files[0].lines
    assert lines[-1] == "+\\ No newline at end of file"


def test_retiring_is_final() -> None:
    retired = a_version().move(VersionState.DEPRECATED).move(VersionState.RETIRED)
    with pytest.raises(Conflict):
        retired.move(VersionState.FROZEN)


def test_a_changed_manifest_is_noticed() -> None:
    version = a_version()
    assert version.intact()
    assert not replace(version, manifest_text=version.manifest_text + " ").intact()
    assert version.manifest == {"n": 1}
