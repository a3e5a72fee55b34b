"""Which part of a file a request asks for (RFC 9110, section 14), so that a broken download goes on.

Pure: headers come in as text, places in the file go out. One part for each
request: several parts answered at once would let a short request cost much.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from control_plane.errors import IngotError

__all__ = ["ByteRange", "RangeNotSatisfiable", "asked_part"]

_ONE: Final = re.compile(r"bytes=\s*(?P<first>[0-9]{1,19})?-(?P<last>[0-9]{1,19})?\s*", re.IGNORECASE)


class RangeNotSatisfiable(IngotError):
    """The part that was asked for lies behind the end of the file."""

    code = "range_not_satisfiable"
    status = 416

    def __init__(self, size: int) -> None:
        super().__init__(
            f"The file has {size:,} bytes; the asked part lies outside of them.",
            field="Range",
            hint="Ask for a part below the size that Content-Range names, or for all by leaving Range out.",
        )
        self.size = size


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a file; both ends belong to it."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Bytes of this part."""
        return self.last - self.first + 1

    def header(self, size: int) -> str:
        """Return the value of Content-Range for a file of `size` bytes."""
        return f"bytes {self.first}-{self.last}/{size}"


def asked_part(wanted: str, condition: str, etag: str, size: int) -> ByteRange | None:
    """Return the part that `Range: wanted` asks for; None means the whole file.

    `condition` is If-Range: a part is only of use to who holds the rest of the
    very same bytes. A range that cannot be read, or that names several parts,
    is ignored, as the standard has it. Raises RangeNotSatisfiable.
    """
    if condition and condition.strip() != f'"{etag}"':
        return None
    read = _ONE.fullmatch(wanted)
    if read is None:
        return None
    first, last = read["first"], read["last"]
    if first is None and last is None:
        return None
    if first is None:
        # The last so many bytes; of an empty file there are none.
        length = min(int(last), size)
        if not length:
            raise RangeNotSatisfiable(size)
        return ByteRange(size - length, size - 1)
    if last is not None and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeNotSatisfiable(size)
    return ByteRange(int(first), min(int(last), size - 1) if last is not None else size - 1)
