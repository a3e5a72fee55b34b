"""Who may pass the data folder, at each isolation level."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from control_plane.settings import load_settings
from control_plane.supervisor.folders import Identities, make_folders

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root gives services user ids of their own"),
]


@pytest.mark.parametrize(("isolation", "mode"), [("namespaces", 0o750), ("landlock", 0o751), ("none", 0o751)])
def test_functions_without_mounts_may_pass_to_their_layers_and_files(
    tmp_path: Path, isolation: str, mode: int
) -> None:
    settings = load_settings(tmp_path / "data", {"XDG_RUNTIME_DIR": ""})
    settings.data.mkdir()
    make_folders(settings, Identities(gateway=61000, control=61001, group=61000), isolation)
    found = {path.name: path.stat().st_mode & 0o777 for path in settings.data.iterdir() if path.is_dir()}
    assert found["layers"] == mode
    assert found["host"] == mode
    assert [found[name] & 0o007 for name in ("db", "blobs", "keys", "logs", "audit", "gateway")] == [0] * 6
    settings.run.joinpath("fn").rmdir()
    settings.run.rmdir()
