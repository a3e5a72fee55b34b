"""Finds and undoes mounts below the cluster's folders."""

from __future__ import annotations

from pathlib import Path

from knative.bootstrap.commands import run

__all__ = ["mounted_below", "parse_mounts", "unmount_below"]


def parse_mounts(text: str) -> list[str]:
    """Return the mount points of a mountinfo, in their order. Pure."""
    points = []
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) > 4:
            # The kernel writes spaces and the like as octal numbers.
            points.append(fields[4].encode("latin-1", "replace").decode("unicode_escape"))
    return points


def mounted_below(folder: Path) -> list[str]:
    """Return what is mounted at a folder or below it."""
    text = Path("/proc/self/mountinfo").read_text(encoding="latin-1")
    root = str(folder)
    return [point for point in parse_mounts(text) if point == root or point.startswith(f"{root}/")]


def unmount_below(folder: Path) -> None:
    """Undo every mount at a folder or below it, the innermost first."""
    while points := mounted_below(folder):
        # Detached at once even when something still has a file open there.
        for point in sorted(points, key=len, reverse=True):
            run(["umount", "--lazy", point])
