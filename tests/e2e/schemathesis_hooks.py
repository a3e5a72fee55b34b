"""How schemathesis sends bodies that are neither JSON nor text: as the bytes that they are."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import strategies as st

_TYPES = ("application/gzip", "application/x-gzip", "application/x-tar", "application/zip")

for _type in _TYPES:
    schemathesis.openapi.media_type(_type, st.binary(min_size=1, max_size=2_000))


@schemathesis.serializer(*_TYPES)
def raw(_context: schemathesis.SerializationContext, value: Any) -> Any:
    """Send bytes as they are, and anything else as text."""
    return value if isinstance(value, bytes) else str(value).encode()
