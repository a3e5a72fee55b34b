"""How many spans a process sent and lost, in a small file of the run folder that the api's metrics show.

One process writes a file, whole files replace each other, and nobody waits for them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["SpanTally", "tallies"]

_BEGIN: Final = "spans-"
_END: Final = ".json"


class SpanTally:
    """The file of one role; it begins at zero with the role."""

    def __init__(self, folder: Path, role: str) -> None:
        self._path = folder / f"{_BEGIN}{role}{_END}"
        self.write(0, 0)

    def write(self, sent: int, dropped: int) -> None:
        """Say how many there were so far. A disk that takes nothing costs a figure, never a span."""
        temporary = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps({"sent": sent, "dropped": dropped}))
            temporary.rename(self._path)


def tallies(folder: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield (role, result -> count) of every role that has said it."""
    for path in sorted(folder.glob(f"{_BEGIN}*{_END}")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = json.loads(path.read_text())
            role = path.name.removeprefix(_BEGIN).removesuffix(_END)
            yield role, {result: int(found[result]) for result in ("sent", "dropped")}
