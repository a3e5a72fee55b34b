"""Reads the files that settings name, such as keys and passwords."""

from __future__ import annotations

from pathlib import Path

from control_plane.errors import Invalid

__all__ = ["named_file"]


def named_file(setting: str, path: str) -> bytes:
    """Return a file that a setting names; nothing where it names none."""
    try:
        return Path(path).read_bytes() if path else b""
    except OSError as error:
        raise Invalid(f"{setting} names a file that cannot be read: {error}.", field=setting) from error
