"""The page about events lists exactly the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

from control_plane.domain.events import EVENT_TYPES, type_of

_PAGE = Path(__file__).parents[2] / "control_plane" / "docs" / "events.md"


def test_every_event_type_is_documented_with_its_data() -> None:
    rows = re.findall(r"^\| `(dev\.ingot\.[a-z_.]+\.v1)` \| .+ \| (.+) \|$", _PAGE.read_text(), re.MULTILINE)
    documented = {name: tuple(re.findall(r"`(\w+)`", fields)) for name, fields in rows}
    assert documented == {type_of(name): fields for name, fields in EVENT_TYPES.items()}
