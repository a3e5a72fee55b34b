"""The settings page says what settings.py says."""

from __future__ import annotations

from pathlib import Path

from control_plane.settings import load_settings
from control_plane.settings_explained import environment_example
from scripts.settings_page import page


def test_the_page_is_fresh() -> None:
    written = Path("control_plane/docs/settings.md").read_text()
    assert written == page(), "Run: scripts/settings_page.py > control_plane/docs/settings.md"


def test_the_example_of_the_environment_is_fresh_and_changes_nothing() -> None:
    written = Path(".env.example").read_text()
    assert written == environment_example(), "Run: scripts/settings_page.py --env > .env.example"
    variables = dict(
        line.removeprefix("# ").split("=", 1)
        for line in written.splitlines()
        if "INGOT_" in line and "=" in line
    )
    assert load_settings(Path("/data"), variables) == load_settings(Path("/data"), {})
