"""Fetches a stored file into a local one: piece by piece, and on from where the line broke.

What is there at the end is whole: bytes come beside the target, and take its
place only when they have the file's digest.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from control_plane.cli.client import Unreachable
from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.output import note

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["download"]

_TRIES: Final = 4
_API: Final = "/api/v1"


def download(client: Client, stored: dict[str, Any], target: Path) -> int:
    """Write the bytes of the file `stored` to `target` and return how many they are."""
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("w+b") as sink:
            _fetch(client, stored, sink)
            size = sink.tell()
            sink.seek(0)
            digest = sha256()
            while piece := sink.read(1 << 20):
                digest.update(piece)
        if stored["sha256"] != f"sha256:{digest.hexdigest()}":
            raise Failure(
                "The file was damaged on its way.", hint="Try again.", exit_code=ExitCode.UNAVAILABLE
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return size


def _fetch(client: Client, stored: dict[str, Any], sink: IO[bytes]) -> None:
    tag = '"' + stored["sha256"].removeprefix("sha256:") + '"'
    for left in reversed(range(_TRIES)):
        # An address counts for five minutes, so every try has its own.
        address = client.send("POST", f"/files/{stored['id']}/links").json()["url"].removeprefix(_API)
        have = sink.tell()
        headers = {"Range": f"bytes={have}-", "If-Range": tag} if have else {}
        try:
            client.copy(address, sink, headers)
        except Unreachable:
            if not left:
                raise
            note(f"The line broke after {sink.tell():,} of {stored['size']:,} bytes; going on from there.")
        else:
            return
