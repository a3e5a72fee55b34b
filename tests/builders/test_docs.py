"""The guide names every error code and every key of ingot.toml."""

from __future__ import annotations

import re
from pathlib import Path

from builders.errors import CODES
from builders.manifest import LIMITS, read_manifest
from builders.tree import MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES

GUIDE = (Path(__file__).parents[2] / "control_plane/docs/builders.md").read_text()


def test_every_error_code_is_documented() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", GUIDE.partition("## Errors")[2], re.MULTILINE))
    assert table == CODES


def test_every_key_of_the_manifest_is_documented_and_none_else() -> None:
    section = GUIDE.partition("### ingot.toml")[2].partition("###")[0]
    documented = set(
        re.findall(r"`([a-z_.]+)`", " ".join(re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)))
    )
    limits = {f"limits.{name}" for name in LIMITS}
    fields = {name for name in read_manifest({"ingot.toml": b""}).__slots__ if name != "limits"}
    assert documented == fields | limits


def test_the_sizes_in_the_guide_are_those_of_the_code() -> None:
    each, together = MAX_FILE_BYTES // 10**6, MAX_TOTAL_BYTES // 10**6
    assert f"At most {MAX_FILES:,} files, {each} MB each, {together} MB together" in GUIDE
