"""The settings page says what settings.py says."""

from __future__ import annotations

from pathlib import Path

from scripts.settings_page import page


def test_the_page_is_fresh() -> None:
    written = Path("control_plane/docs/settings.md").read_text()
    assert written == page(), "Run: scripts/settings_page.py > control_plane/docs/settings.md"
