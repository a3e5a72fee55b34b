"""Fixtures of the builders' tests: folders of a build, and an index made of local wheels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.build import Folders
from builders.storage import remove_tree


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Folders]:
    """Give empty folders, and remove the read-only layers afterwards."""
    yield Folders(tmp_path / "blobs", tmp_path / "layers", tmp_path / "cache")
    remove_tree(tmp_path / "layers")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder whose wheels are all that the resolver finds."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    return wheels
