"""A base image of a few bytes, for tests that compose images and run none."""

from __future__ import annotations

import importlib.util
import py_compile
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from builders.base.assemble import BaseImage, layer_descriptor
from builders.base.filesystem import Tree, file, write_tree
from builders.base.interpreter import BYTECODE, Interpreter
from builders.build import machine_platform
from builders.image import ImageLayer
from builders.oci import CONFIG, MANIFEST, canonical, descriptor
from builders.storage import new_blob, put_blob

__all__ = ["ThisInterpreter", "small_base"]


class ThisInterpreter(Interpreter):
    """Compiles with the Python that runs the test."""

    def tag(self) -> str:
        return f"{sys.implementation.cache_tag}-{importlib.util.MAGIC_NUMBER.hex()}"

    def compile(self, sources: Path, folders: Sequence[str]) -> Tree:
        found: Tree = {}
        with TemporaryDirectory() as work:
            for path in sorted(path for one in folders for path in (sources / one).glob("**/*.py")):
                name = path.relative_to(sources).as_posix()
                target = f"{work}/x.pyc"
                mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
                py_compile.compile(str(path), target, f"/{name}", doraise=True, invalidation_mode=mode)
                found[f"{BYTECODE}/{name[:-3]}.pyc"] = file(Path(target).read_bytes())
        return found


def small_base(blobs: Path, cache: Path, runtime: str, *, note: bytes = b"base") -> BaseImage:
    """Put a base image of two tiny layers into the blobs folder."""
    layers = []
    for role, tree in (
        ("system", {"usr/bin/x": file(note)}),
        ("runtime", {"opt/ingot/runtime/y": file(b"y")}),
    ):
        with new_blob(blobs) as writer:
            write_tree(tree, writer)
        layers.append(ImageLayer(role, writer.digest, writer.size))
    interpreter = ThisInterpreter(cache / "bases" / "small", runtime, machine_platform())
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": ["/usr/bin/x"],
            "User": "65532:65532",
            "Labels": {
                "dev.ingot.runtime": runtime,
                "dev.ingot.bytecode": interpreter.tag(),
                "dev.ingot.base.packages": "sha256:" + "0" * 64,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
    }
    content = canonical(config)
    put_blob(blobs, content)
    manifest = canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, content),
            "layers": [layer_descriptor(layer) for layer in layers],
        }
    )
    sbom = canonical(
        {
            "bomFormat": "CycloneDX",
            "metadata": {"component": {"bom-ref": "base", "name": "base"}},
            "components": [{"bom-ref": "libc", "name": "libc"}],
            "dependencies": [{"ref": "base", "dependsOn": ["libc"]}, {"ref": "libc"}],
        }
    )
    platform = interpreter.platform
    return BaseImage(
        runtime,
        platform,
        put_blob(blobs, manifest),
        config,
        tuple(layers),
        put_blob(blobs, sbom),
        interpreter,
    )
