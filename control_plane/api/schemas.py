"""What the pydantic models of all routes share: strict input, times and lenient output.

Models describe the wire; they decide nothing. A domain object is read by its
attributes, so a field appears on the wire only when a model names it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from control_plane.domain.ids import NAME_PATTERN

__all__ = ["MAX_NUMBER", "Input", "Name", "Number", "OptionalTime", "Output", "Time", "timestamp"]

# JSON readers keep whole numbers exactly up to here; a database's own numbers end later.
MAX_NUMBER: Final = 2**53 - 1
# A new name; the domain decides and says what is wrong with one, the document only shows the rule.
Name = Annotated[str, Field(max_length=40, json_schema_extra={"pattern": f"^{NAME_PATTERN}$"})]
# The number of a version or release.
Number = Annotated[int, Field(ge=1, le=MAX_NUMBER)]


class Input(BaseModel):
    """A request's body or query: a field that nobody knows is an error, not a silent no."""

    model_config = ConfigDict(extra="forbid", str_max_length=200_000)


class Output(BaseModel):
    """An answer, read from domain objects by attribute."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Describe what is sent, not the attributes that it is read from."""
        kwargs["mode"] = "serialization"
        return super().model_json_schema(*args, **kwargs)


def timestamp(value: Any) -> Any:
    """Return RFC 3339 UTC for Unix milliseconds; 0 means never and becomes null."""
    if isinstance(value, int):
        return _rfc3339(value) if value else None
    return value


# The points of many series lie at the same moments, and a list is asked for again soon.
@lru_cache(maxsize=4_096)
def _rfc3339(unix_ms: int) -> str:
    text = datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


_SCHEMA = {"type": "string", "format": "date-time"}
Time = Annotated[str, BeforeValidator(timestamp), WithJsonSchema(_SCHEMA)]
OptionalTime = Annotated[
    str | None, BeforeValidator(timestamp), WithJsonSchema({"anyOf": [_SCHEMA, {"type": "null"}]})
]
