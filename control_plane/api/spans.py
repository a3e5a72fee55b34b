"""`from` and `to` of queries about time: RFC 3339 on the wire, Unix milliseconds inside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, Field

from control_plane.api.schemas import Input

__all__ = ["SpanQuery", "now_ms", "unix_ms"]

_Moment = Annotated[AwareDatetime | None, Field(description="RFC 3339 with its zone.")]


class SpanQuery(Input):
    """From when until before when."""

    start: Annotated[_Moment, Field(alias="from")] = None
    end: Annotated[_Moment, Field(alias="to")] = None

    def bounds(self, default_hours: int) -> tuple[int, int]:
        """Return the span in Unix milliseconds; what is not said is now, and so many hours before the end."""
        end = unix_ms(self.end) or now_ms() + 1
        start = unix_ms(self.start) if self.start else max(0, end - default_hours * 3_600_000)
        return start, end


def unix_ms(moment: datetime | None) -> int:
    """Return a moment as Unix milliseconds; none is 0, and so is everything before 1970."""
    return max(0, int(moment.timestamp() * 1000)) if moment else 0


def now_ms() -> int:
    """Return the present moment."""
    return int(datetime.now(UTC).timestamp() * 1000)
