"""The two walks of the guide, typed from its very text: alone to a first call, two people to a release."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.pages import blocks, walk
from tests.support.system import running_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# What the two walks may take in all, without the installation; people read between the commands.
_MOST_S = 180.0


def test_both_walks_lead_where_the_page_says(
    tmp_path: Path, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    commands = blocks("walks.md")
    with running_system(set_up=False) as system:
        walked = walk(system, tmp_path, commands)
    said = re.sub(r"(\w) {2,}", r"\1 ", walked.output)
    for seen in (
        '{"greeting":"Hello, world!"}',
        "state live",
        "unreviewed yes",
        "approvals rita@example.com",
        "unreviewed no",
        '{"greeting":"Hello, all!"}',
        "intact yes",
    ):
        assert seen in said, f"nobody sees {seen}"
    for noted in (
        "Signed in to",
        "Next: ingot test",
        "The input breaks the function's contract.",
        "/nam: ",
        "Hint: ",
    ):
        assert noted in walked.notes, f"nobody reads {noted}"
    assert "Traceback" not in walked.notes + walked.output
    assert "None ->" not in walked.output
    times = " ".join(f"{spent:.1f}" for spent in walked.seconds)
    record_property("seconds", times)
    with capsys.disabled():
        print(f"\nseconds of each step of the walks: {times}")
    assert sum(walked.seconds) < _MOST_S
