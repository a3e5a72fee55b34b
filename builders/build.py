"""The façade: from a draft's files to a locked, frozen and built version.

    files  = archive.read_archive(upload)                  # or a mapping from anywhere
    plan   = read_draft(files)                             # pure
    locked = lock(plan, cache_dir)                         # network; part of the draft from here on
    frozen = freeze(plan, locked)                          # pure; the version's digest
    built  = build(frozen, files, locked, folders)         # deterministic, re-entrant after kill -9

Signatures (all failures are `builders.errors.BuildError`):

    read_draft(files: Mapping[str, bytes]) -> Plan
    lock(plan, cache_dir, *, previous: Lock | None = None, upgrade=False, timeout_s=120.0,
         progress=...) -> Lock                             # a previous one that fits is returned
    read_lock(content: bytes) -> Lock                      # the draft's stored lock, back from bytes
    freeze(plan, lock) -> Frozen                           # .manifest: bytes, .digest: "sha256:<hex>"
    build(frozen, files, lock, folders, *, platform=None, progress=...) -> Built
    try_out(plan, lock, folders, *, platform=None) -> dict[str, str]   # layers of a draft, to run it
    adopt(lock, folders, digest, layer)                # a dependency layer that came from elsewhere
    machine_platform() -> str                              # "linux-x86_64" or "linux-aarch64"

`Lock.content` is canonical JSON, `Lock.digest` its "sha256:<hex>"; `Lock.python`
is the minor that a draft without a runtime got. `build`
unpacks each layer to `<folders.layers>/<hex of its digest>/`: put that folder
itself on the import path. `Built.layers` maps the role "function" (always)
and "deps" (when there are dependencies) to "sha256:<hex>". `progress` is
called with the name of each phase as it starts (`progress.PHASES`). Nothing
else may live here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builders.dependencies import adopt_layer, dependency_layer
from builders.errors import BuildError
from builders.freeze import Frozen, freeze
from builders.image import ImageLayer, put_image
from builders.layers import entries_of_files, put_layer
from builders.lock import lock
from builders.locked import Lock, read_lock
from builders.plan import Plan, read_draft
from builders.platforms import PLATFORMS, machine_platform
from builders.progress import Phases, Progress, no_progress
from builders.sbom import bill_of_materials
from builders.storage import remove_leftovers
from builders.unpack import place_files, unpack_layer

__all__ = [
    "Built",
    "Folders",
    "Frozen",
    "Lock",
    "Plan",
    "adopt",
    "build",
    "freeze",
    "lock",
    "machine_platform",
    "read_draft",
    "read_lock",
    "try_out",
]


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a build keeps things. All three may be shared by any number of builds at once."""

    # Content-addressed, and an OCI layout: `<blobs>/sha256/<hex>`.
    blobs: Path
    # Unpacked layers: `<layers>/<hex>/`.
    layers: Path
    # The resolver's downloads and notes on finished layers; may be removed at any time.
    cache: Path


@dataclass(frozen=True, slots=True)
class Built:
    """What a version became on one platform."""

    platform: str
    # role ("function", "deps") -> "sha256:<hex>", unpacked at `<layers>/<hex>/`
    layers: Mapping[str, str]
    # Digest of the OCI image manifest.
    image: str
    # CycloneDX 1.6 as JSON.
    sbom: bytes
    # phase -> milliseconds; a phase that the cache spared is absent
    timings_ms: Mapping[str, float]


def build(
    frozen: Frozen,
    files: Mapping[str, bytes],
    lock: Lock,
    folders: Folders,
    *,
    platform: str | None = None,
    progress: Progress = no_progress,
) -> Built:
    """Make layers, image and bill of materials of a frozen version; doing it again is cheap."""
    chosen = platform or machine_platform()
    if chosen not in PLATFORMS:
        raise BuildError("platform_unsupported", f"{chosen} is none of {', '.join(PLATFORMS)}.")
    plan = read_draft(files)
    if freeze(plan, lock) != frozen:
        raise BuildError(
            "lock_stale",
            "The files and the lock are not those that were frozen.",
            hint="Build with the files and the lock of the version itself.",
        )
    for folder in (folders.blobs, folders.blobs / "sha256", folders.layers, folders.cache):
        remove_leftovers(folder)
    phases = Phases(progress)
    layers = _layers(plan, lock, folders, chosen, phases)
    with phases.phase("unpack"):
        unpacked = {
            layer.role: unpack_layer(folders.blobs, folders.layers, layer.digest, layer.role)
            for layer in layers
        }
    with phases.phase("sbom"):
        sbom = bill_of_materials(plan, frozen, lock, chosen, unpacked.get("deps"))
    with phases.phase("image"):
        image = put_image(folders.blobs, frozen.manifest, chosen, layers)
    return Built(chosen, {layer.role: layer.digest for layer in layers}, image, sbom, phases.timings_ms)


def try_out(plan: Plan, lock: Lock, folders: Folders, *, platform: str | None = None) -> dict[str, str]:
    """Make the unpacked layers that running a draft needs, role -> digest, and nothing else.

    Dependencies are as durable as a version's, being its own; the files are
    not, so an edit runs without a wait for the disk.
    """
    chosen = platform or machine_platform()
    layers = {"function": place_files(plan.files, folders.layers)}
    if lock.for_platform(chosen):
        deps, _ = dependency_layer(lock, chosen, folders.blobs, folders.cache, Phases(no_progress))
        unpack_layer(folders.blobs, folders.layers, deps, "deps")
        layers["deps"] = deps
    return layers


def adopt(lock: Lock, folders: Folders, digest: str, layer: bytes) -> None:
    """Take a dependency layer that another machine of this platform made from the same lock.

    Whether it was made from these wheels cannot be seen from it, so whoever made it must be trusted.
    """
    for folder in (folders.blobs / "sha256", folders.cache):
        folder.mkdir(parents=True, exist_ok=True)
    adopt_layer(lock, machine_platform(), folders.blobs, folders.cache, (digest, layer))


def _layers(plan: Plan, lock: Lock, folders: Folders, platform: str, phases: Phases) -> list[ImageLayer]:
    """Return the layers in the image's order: what changes least comes first."""
    layers = []
    if lock.for_platform(platform):
        digest, size = dependency_layer(lock, platform, folders.blobs, folders.cache, phases)
        layers.append(ImageLayer("deps", digest, size))
    with phases.phase("source layer"):
        digest, size = put_layer(entries_of_files(plan.files), "function", folders.blobs)
    return [*layers, ImageLayer("function", digest, size)]
