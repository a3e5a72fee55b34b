"""Installs a lock's wheels for one platform and makes them a dependency layer.

uv fetches and unpacks, confined; `builders.installed` normalises what it
leaves. A layer is made once for each set of wheels and platform.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.errors import BuildError
from builders.installed import normalised
from builders.layers import put_layer
from builders.locked import Lock, LockedPackage, Wheel
from builders.platforms import PLATFORMS
from builders.progress import Phases
from builders.storage import blob_path, put_blob, replace_file, still_needed, temporary_folder
from builders.uv_command import failing_lines, is_unreachable, run_uv

__all__ = ["adopt_layer", "dependency_layer"]

# Raise it when normalising changes: then layers are made anew.
NORMAL_FORM = 1


# A gigabyte at 2 MB/s; a slower index is taken for a stalled one.
INSTALL_TIMEOUT_S = 600.0

_Chosen = Sequence[tuple[LockedPackage, Wheel]]


def dependency_layer(
    lock: Lock, platform: str, blobs: Path, cache_dir: Path, phases: Phases
) -> tuple[str, int]:
    """Return (digest, size) of the layer, from the cache where it was made before."""
    chosen = lock.for_platform(platform)
    note = cache_dir / "layers" / f"{_cache_key(chosen, lock.python, platform)}.json"
    known = _remembered(note, blobs)
    if known:
        return known
    with temporary_folder(cache_dir) as work:
        installer = _Installer(work, cache_dir, lock.python, platform)
        with phases.phase("install"):
            folder = installer.install("all", chosen)
        with phases.phase("dependency layer"):
            by_name = {item.name: (item, wheel) for item, wheel in chosen}
            entries = normalised(folder, lambda name: installer.install(name, [by_name[name]]))
            digest, size = put_layer(entries, "deps", blobs)
    note.parent.mkdir(parents=True, exist_ok=True)
    replace_file(note, json.dumps({"digest": digest, "size": size}).encode())
    return digest, size


def adopt_layer(lock: Lock, platform: str, blobs: Path, cache_dir: Path, layer: tuple[str, bytes]) -> None:
    """Store a layer (its digest and bytes) and remember it as the one of these wheels."""
    digest, content = layer
    if not lock.for_platform(platform):
        return
    if put_blob(blobs, content) != digest:
        raise BuildError("layer_corrupt", f"The bytes are not those of the layer {digest}.")
    note = cache_dir / "layers" / f"{_cache_key(lock.for_platform(platform), lock.python, platform)}.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    replace_file(note, json.dumps({"digest": digest, "size": len(content)}).encode())


def _cache_key(chosen: _Chosen, python: str, platform: str) -> str:
    parts = [str(NORMAL_FORM), python, platform, *(f"{item.name}=={wheel.sha256}" for item, wheel in chosen)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _remembered(note: Path, blobs: Path) -> tuple[str, int] | None:
    try:
        found = json.loads(note.read_bytes())
        digest, size = found["digest"], found["size"]
        path = blob_path(blobs, digest)
        if still_needed(path) and path.stat().st_size == size:
            return digest, size
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A missing or damaged note only costs making the layer again.
        return None
    return None


@dataclass(frozen=True, slots=True)
class _Installer:
    """Installs wheels into folders below `work`, for one platform."""

    work: Path
    cache_dir: Path
    python: str
    platform: str

    def install(self, into: str, chosen: _Chosen) -> Path:
        """Install wheels by their hashes into a new folder and return it."""
        (self.work / f"{into}.txt").write_text(
            "".join(f"{item.name}=={item.version} --hash=sha256:{wheel.sha256}\n" for item, wheel in chosen)
        )
        arguments = [
            "pip", "install", "--target", into, "--requirements", f"{into}.txt", "--require-hashes",
            "--no-deps", "--no-build", "--no-sources", "--no-compile-bytecode", "--link-mode", "hardlink",
            "--quiet", "--python-version", self.python,
            "--python-platform", PLATFORMS[self.platform].uv_target,
        ]  # fmt: skip
        # What the cache holds needs no index at all; only what is missing asks for one.
        outcome = run_uv([*arguments, "--offline"], self.work, self.cache_dir, INSTALL_TIMEOUT_S)
        if outcome.status != 0:
            outcome = run_uv(arguments, self.work, self.cache_dir, INSTALL_TIMEOUT_S)
        if outcome.status != 0:
            lines = failing_lines(outcome.output)
            raise BuildError(
                "index_unreachable" if is_unreachable(outcome.output) else "install_failed",
                "The locked dependencies cannot be installed: " + " ".join(line.strip() for line in lines),
                hint="Lock the draft again if the index no longer has these wheels; else check its address.",
                log=lines,
            )
        return self.work / into
