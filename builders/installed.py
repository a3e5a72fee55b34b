"""Turns what uv installed into entries that depend on the wheels alone.

No bytecode, no installer's notes, no scripts (they carry the path of an
interpreter), RECORD without all of these, and a fixed winner where two
packages bring the same file. Installing may not live here.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from packaging.utils import canonicalize_name

from builders import tree
from builders.errors import BuildError
from builders.layers import MAX_DEPTH, MAX_PATH_BYTES, Entry, entries_of_folder

__all__ = ["MAX_DEPENDENCY_BYTES", "normalised"]

MAX_DEPENDENCY_BYTES = 1_500_000_000
_INSTALLER_NOTES = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"})
_DIST_INFO = re.compile(r"[^/]+\.dist-info/([^/]+)")


def normalised(folder: Path, alone: Callable[[str], Path]) -> dict[str, Entry]:
    """Return the layer's entries. `alone(name)` installs one package by itself and returns where."""
    found = {entry.path: entry for entry in entries_of_folder(folder) if _belongs(entry)}
    total = 0
    for path, entry in found.items():
        tree.check_path(path, max_bytes=MAX_PATH_BYTES, max_depth=MAX_DEPTH)
        total += entry.size
    if total > MAX_DEPENDENCY_BYTES:
        raise BuildError(
            "install_failed",
            f"The dependencies unpack to {total} bytes; at most {MAX_DEPENDENCY_BYTES} are allowed.",
            hint="Depend on less, or on a smaller build of it.",
        )
    records = {path: _rows(entry) for path, entry in found.items() if path.endswith(".dist-info/RECORD")}
    _settle_conflicts(found, records, alone)
    for path, rows in records.items():
        found[path] = Entry(path, _record(row for row in rows if row[0] in found))
    return found


def _belongs(entry: Entry) -> bool:
    """Say whether an installed file comes from a wheel and is the same on every machine."""
    parts = entry.path.split("/")
    note = _DIST_INFO.fullmatch(entry.path)
    if "__pycache__" in parts or entry.path == ".lock" or (note and note[1] in _INSTALLER_NOTES):
        return False
    if len(parts) == 2 and parts[0] == "bin" and isinstance(entry.content, Path):
        # Scripts carry the path of an interpreter; programs in a wheel do not.
        with entry.content.open("rb") as stream:
            return stream.read(2) != b"#!"
    return True


def _rows(entry: Entry) -> list[list[str]]:
    content = entry.content if isinstance(entry.content, bytes) else entry.content.read_bytes()
    return [row for row in csv.reader(io.StringIO(content.decode("utf-8", "replace"))) if len(row) == 3]


def _record(rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    return text.getvalue().encode()


def _settle_conflicts(
    found: dict[str, Entry], records: dict[str, list[list[str]]], alone: Callable[[str], Path]
) -> None:
    """Where packages bring different files of one name, the last package by name wins.

    uv installs in parallel, so whose file it left there is chance.
    """
    digests: dict[str, set[str]] = {}
    winners: dict[str, str] = {}
    packages: dict[str, list[list[str]]] = {
        canonicalize_name(record.split("/")[0].split("-")[0]): rows for record, rows in records.items()
    }
    for name in sorted(packages):
        for path, digest, _ in packages[name]:
            if path in found and digest:
                digests.setdefault(path, set()).add(digest)
                winners[path] = name
    folders: dict[str, Path] = {}
    for path, differing in digests.items():
        if len(differing) > 1:
            name = winners[path]
            folders[name] = folders.get(name) or alone(name)
            source = folders[name] / path
            found[path] = Entry(path, source, bool(source.lstat().st_mode & 0o100))
