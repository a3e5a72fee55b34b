"""The rules for a draft's files: names, sizes, and what is left out.

Pure. A tree is a mapping from a relative POSIX path to bytes; every other
module may assume that a tree went through `normalise`. Reading archives or
folders may not live here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

from builders.errors import BuildError

__all__ = ["MAX_FILES", "MAX_FILE_BYTES", "MAX_TOTAL_BYTES", "check_path", "is_left_out", "normalise"]

MAX_FILES = 2_000
MAX_FILE_BYTES = 10_000_000
MAX_TOTAL_BYTES = 50_000_000
MAX_PATH_BYTES = 240
MAX_DEPTH = 16

# Made by tools on the author's machine, never part of what a function is.
_LEFT_OUT_FOLDERS = frozenset(
    {"__pycache__", ".git", ".hg", ".svn", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".ingot"}
)
_LEFT_OUT_FILES = frozenset({".DS_Store", "Thumbs.db"})


def is_left_out(path: str) -> bool:
    """Say whether a path is a tool's leftover that no draft keeps."""
    *folders, name = path.split("/")
    return name in _LEFT_OUT_FILES or not _LEFT_OUT_FOLDERS.isdisjoint(folders)


def check_path(path: str, *, max_bytes: int = MAX_PATH_BYTES, max_depth: int = MAX_DEPTH) -> None:
    """Refuse a name that could mean another file somewhere else."""
    reason = _fault_of(path)
    if not reason and (len(path.encode()) > max_bytes or path.count("/") >= max_depth):
        reason = f"is longer than {max_bytes} bytes or deeper than {max_depth} folders"
    if reason:
        shown = ascii(path if len(path) <= 120 else path[:117] + "...")
        raise BuildError(
            "draft_invalid",
            f"The file name {shown} {reason}.",
            field=shown,
            hint="Rename the file: relative, with forward slashes, in normal Unicode form.",
        )


def _fault_of(path: str) -> str:
    segments = path.split("/")
    if not path or path.startswith("/") or (len(path) > 1 and path[1] == ":" and path[0].isalpha()):
        return "is empty or absolute"
    if ".." in segments:
        return "leads out of its folder"
    if "" in segments or "." in segments:
        return "has an empty or '.' part"
    if "\\" in path or any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        return "has a backslash or a control character"
    if unicodedata.normalize("NFC", path) != path:
        return "is not in Unicode normal form NFC"
    return ""


def check_collisions(paths: Iterable[str]) -> None:
    """Refuse names that are one file on a case-insensitive disk, or a file that is also a folder."""
    spelled: dict[str, tuple[str, bool]] = {}
    for path in sorted(paths):
        segments = path.split("/")
        for depth in range(1, len(segments) + 1):
            prefix = "/".join(segments[:depth])
            is_file = depth == len(segments)
            known = spelled.setdefault(_folded(prefix), (prefix, is_file))
            if known != (prefix, is_file):
                raise BuildError(
                    "draft_invalid",
                    f"The names {known[0]!a} and {prefix!a} are the same on some machines, "
                    "or one is a file and the other a folder.",
                    field=path,
                    hint="Rename one of the two.",
                )


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", path).casefold())


def normalise(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the tree without leftovers, checked and sorted by the names' bytes."""
    kept = {path: bytes(content) for path, content in files.items() if not is_left_out(path)}
    for path in kept:
        check_path(path)
    check_collisions(kept)
    if len(kept) > MAX_FILES:
        raise BuildError(
            "archive_too_large",
            f"The draft has {len(kept)} files; at most {MAX_FILES} are allowed.",
            hint="Leave out data and generated files.",
        )
    for path, content in kept.items():
        if len(content) > MAX_FILE_BYTES:
            raise BuildError(
                "archive_too_large",
                f"The file {path!a} has {len(content)} bytes; at most {MAX_FILE_BYTES} are allowed.",
                field=path,
            )
    total = sum(map(len, kept.values()))
    if total > MAX_TOTAL_BYTES:
        raise BuildError(
            "archive_too_large",
            f"The draft has {total} bytes; at most {MAX_TOTAL_BYTES} are allowed.",
            hint="Leave out data and generated files.",
        )
    return dict(sorted(kept.items(), key=lambda item: item[0].encode()))
