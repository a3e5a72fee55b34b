"""Makes a base image: packages fetched, tree made, bytecode compiled, two layers, config and manifest.

The same list and the same runtime give the same bytes. A finished image is
remembered in the cache together with its unpacked tree, whose interpreter
compiles what joins the image later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.base.apt import fetch_packages
from builders.base.contents import USER, base_tree
from builders.base.deb import control_of, files_of
from builders.base.filesystem import Tree, write_tree
from builders.base.interpreter import BYTECODE, Interpreter, lay_out
from builders.base.inventory import base_inventory
from builders.base.package_list import PackageList
from builders.base.runtime_files import ROOT, Runtime, runtime_tree
from builders.image import ImageLayer
from builders.oci import CONFIG, LAYER, MANIFEST, canonical, descriptor
from builders.platforms import PLATFORMS
from builders.storage import new_blob, put_blob, replace_file, still_needed, temporary_folder

__all__ = ["PORT", "BaseImage", "make_base"]

# Where an instance listens unless PORT says otherwise, as Knative has it.
PORT = 8080
_OWN = (
    "apt.py",
    "assemble.py",
    "compile_child.py",
    "contents.py",
    "deb.py",
    "filesystem.py",
    "interpreter.py",
)


@dataclass(frozen=True, slots=True)
class BaseImage:
    """A base image that lies in the blobs folder."""

    runtime: str
    platform: str
    # Digest of its manifest.
    digest: str
    config: dict[str, Any]
    layers: tuple[ImageLayer, ...]
    # Digest of its CycloneDX bill of materials.
    sbom: str
    # Compiles for this image.
    interpreter: Interpreter

    @property
    def size(self) -> int:
        """Return how many bytes all its layers have."""
        return sum(layer.size for layer in self.layers)


def make_base(packages: PackageList, runtime: Runtime, blobs: Path, cache: Path) -> BaseImage:
    """Return the base image of a list, made if need be. Safe to do twice at once, and after a kill."""
    cache = cache.resolve()
    wrapped = runtime_tree(runtime)
    key = _key(packages, wrapped)
    note, folder = cache / "bases" / f"{key}.json", cache / "bases" / key
    interpreter = Interpreter(folder, packages.runtime, packages.platform)
    known = _remembered(note, blobs, interpreter)
    if known is not None:
        return known
    files = fetch_packages(packages, cache / "packages")
    tree = base_tree((name, control_of(path), files_of(path)) for name, path in sorted(files.items()))
    _unpack(tree, folder)
    compiled = interpreter.compile(folder, [f"usr/lib/{packages.runtime}"])
    layers = (
        _layer("system", tree | compiled, blobs),
        _layer("runtime", wrapped | _compiled_runtime(wrapped, interpreter, folder.parent), blobs),
    )
    config = _config(packages, layers, interpreter.tag())
    content = canonical(_manifest(packages, config, layers, blobs))
    sbom = put_blob(blobs, base_inventory(packages, files))
    made = {
        "digest": put_blob(blobs, content),
        "config": config,
        "layers": [[layer.role, layer.digest, layer.size] for layer in layers],
        "sbom": sbom,
    }
    replace_file(note, canonical(made))
    return _from_note(made, interpreter)


def _key(packages: PackageList, wrapped: Tree) -> str:
    """Return what the image depends on, this package's own code included."""
    hashed = hashlib.sha256(packages.content)
    for name in _OWN:
        hashed.update(Path(__file__).with_name(name).read_bytes())
    for path in sorted(wrapped):
        hashed.update(f"\n{path}\n".encode() + hashlib.sha256(wrapped[path].content).digest())
    return hashed.hexdigest()


def _remembered(note: Path, blobs: Path, interpreter: Interpreter) -> BaseImage | None:
    try:
        found = _from_note(json.loads(note.read_bytes()), interpreter)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    needed = [found.digest, found.sbom, *(layer.digest for layer in found.layers)]
    whole = all(still_needed(blobs / "sha256" / digest.removeprefix("sha256:")) for digest in needed)
    return found if whole and interpreter.root.is_dir() else None


def _from_note(made: dict[str, Any], interpreter: Interpreter) -> BaseImage:
    return BaseImage(
        runtime=interpreter.runtime,
        platform=interpreter.platform,
        digest=made["digest"],
        config=made["config"],
        layers=tuple(ImageLayer(role, digest, size) for role, digest, size in made["layers"]),
        sbom=made["sbom"],
        interpreter=interpreter,
    )


def _unpack(tree: Tree, folder: Path) -> None:
    if folder.is_dir():
        return
    with temporary_folder(folder.parent) as work:
        lay_out(tree, work)
        # Whoever was first has won; the contents are the same.
        with suppress(OSError):
            work.rename(folder)


def _compiled_runtime(wrapped: Tree, interpreter: Interpreter, cache: Path) -> Tree:
    with temporary_folder(cache) as work:
        for path, node in wrapped.items():
            if path.endswith(".py"):
                (work / path).parent.mkdir(parents=True, exist_ok=True)
                (work / path).write_bytes(node.content)
        return interpreter.compile(work, [ROOT])


def _layer(role: str, tree: Tree, blobs: Path) -> ImageLayer:
    with new_blob(blobs) as writer:
        write_tree(tree, writer)
    return ImageLayer(role, writer.digest, writer.size)


def _config(packages: PackageList, layers: Sequence[ImageLayer], tag: str) -> dict[str, Any]:
    python = f"/usr/bin/{packages.runtime}"
    options = ["-I", "-S", "-B", "-X", "utf8", "-X", f"pycache_prefix=/{BYTECODE}"]
    return {
        "architecture": PLATFORMS[packages.platform].oci_architecture,
        "os": "linux",
        "config": {
            "Entrypoint": [python, *options, f"/{ROOT}/start.py"],
            "Env": ["PATH=/usr/bin", "LANG=C.UTF-8", f"PORT={PORT}"],
            "ExposedPorts": {f"{PORT}/tcp": {}},
            "User": f"{USER}:{USER}",
            "WorkingDir": "/tmp",  # noqa: S108 - the one folder that a function may write to.
            "StopSignal": "SIGTERM",
            "Labels": {
                "dev.ingot.runtime": packages.runtime,
                "dev.ingot.bytecode": tag,
                "dev.ingot.base.packages": packages.digest,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"created_by": f"ingot {layer.role} layer"} for layer in layers],
    }


def _manifest(
    packages: PackageList, config: dict[str, Any], layers: Sequence[ImageLayer], blobs: Path
) -> dict[str, Any]:
    written = canonical(config)
    put_blob(blobs, written)
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, written),
        "layers": [layer_descriptor(layer) for layer in layers],
        "annotations": {"dev.ingot.runtime": packages.runtime, "dev.ingot.base.packages": packages.digest},
    }


def layer_descriptor(layer: ImageLayer) -> dict[str, Any]:
    """Return what names a layer in a manifest."""
    return {
        "mediaType": LAYER,
        "digest": layer.digest,
        "size": layer.size,
        "annotations": {"dev.ingot.layer.role": layer.role},
    }
