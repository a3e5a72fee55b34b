"""What to do about an error code, from the page that says it: for answers that bring no hint themselves.

Nothing else may live here; the page is read only when something went wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["advice_on"]

_PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "troubleshooting.md"
_ROW: Final = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)
_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def advice_on(codes: Iterable[str]) -> str:
    """Return what to do about the first code that the page knows; nothing where there is no page."""
    try:
        text = _PAGE.read_text("utf-8")
    except OSError:
        return ""
    known = dict(_ROW.findall(text.partition("## What to do about each code")[2]))
    found = next((known[code] for code in codes if code in known), "")
    return _LINK.sub(r"\1", found)
