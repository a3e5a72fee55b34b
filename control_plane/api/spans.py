"""`from` and `to` of queries about time: RFC 3339 on the wire, Unix milliseconds inside."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AwareDatetime, BeforeValidator, Field

from control_plane.api.schemas import Input

__all__ = ["Moment", "SpanQuery", "now_ms", "unix_ms"]


def _written_out(value: object) -> object:
    """Refuse numbers: they would be read as seconds or milliseconds, whichever fits."""
    if isinstance(value, str) and not _DATE.match(value):
        raise ValueError("a moment is RFC 3339 with its zone, as 2026-11-22T10:00:00Z")
    return value


_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")
Moment = Annotated[
    AwareDatetime | None, BeforeValidator(_written_out), Field(description="RFC 3339 with its zone.")
]


class SpanQuery(Input):
    """From when until before when."""

    start: Annotated[Moment, Field(alias="from")] = None
    end: Annotated[Moment, Field(alias="to")] = None

    def bounds(self, default_hours: int) -> tuple[int, int]:
        """Return the span in Unix milliseconds; what is not said is now, and so many hours before the end."""
        end = unix_ms(self.end) or now_ms() + 1
        start = unix_ms(self.start) if self.start else end - default_hours * 3_600_000
        # 0 means never everywhere else.
        return max(1, start), max(1, end)


def unix_ms(moment: datetime | None) -> int:
    """Return a moment as Unix milliseconds; none is 0, and so is everything before 1970."""
    return max(0, int(moment.timestamp() * 1000)) if moment else 0


def now_ms() -> int:
    """Return the present moment."""
    return int(datetime.now(UTC).timestamp() * 1000)
