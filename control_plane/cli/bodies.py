"""Bodies that commands send and show: text, files, standard input; binary never onto a terminal."""

from __future__ import annotations

import sys
from mimetypes import guess_type
from pathlib import Path

import click

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.output import note

__all__ = ["read_body", "write_body"]


def read_body(data: str | None, content_type: str | None) -> tuple[bytes, str]:
    """Return the bytes and kind that `data` stands for: text, @FILE or @-."""
    if data is None:
        return b"", content_type or "application/json"
    if data == "@-":
        return sys.stdin.buffer.read(), content_type or "application/json"
    if not data.startswith("@"):
        return data.encode(), content_type or "application/json"
    path = Path(data[1:])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.", exit_code=ExitCode.USAGE) from error
    return content, content_type or guess_type(path.name)[0] or "application/octet-stream"


def write_body(content: bytes, save: Path | None) -> None:
    """Write a result to a file, or to standard output unless that would garble a terminal."""
    if save is not None:
        save.write_bytes(content)
        note(f"Wrote {len(content):,} bytes to {save}.")
        return
    if sys.stdout.isatty() and not _is_text(content):
        note(f"The result is {len(content):,} bytes that are not text; name a file to write it to.")
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
    if sys.stdout.isatty() and not content.endswith(b"\n"):
        click.echo()


def _is_text(content: bytes) -> bool:
    try:
        return "\x1b" not in content.decode() and b"\0" not in content
    except UnicodeDecodeError:
        return False
