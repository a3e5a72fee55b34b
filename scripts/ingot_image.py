#!/usr/bin/env python3
"""Ingot's own image: `.venv/bin/python scripts/ingot_image.py build|push [options]`.

`build` makes it from this checkout, `push` puts it into a registry, signed, and
prints the reference to deploy. Needs Debian's archive of the package list's
release and a package index. The registry's user and password are read from
INGOT_REGISTRY_USER and INGOT_REGISTRY_PASSWORD.
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from builders.attachments import sign
from builders.base.assemble import make_base
from builders.base.package_list import read_list
from builders.base.runtime_files import Runtime
from builders.build import Folders, machine_platform
from builders.errors import BuildError
from builders.oci import MANIFEST
from builders.place import RegistryPlace
from builders.registry.access import Access
from builders.registry.client import Registry, Stored
from builders.registry.conversation import Conversation
from builders.registry.sources import of_bytes, of_file
from builders.signature import SigningKey
from builders.storage import blob_path
from knative.deploy.image import IngotImage, image_manifest, make_image

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Do what is asked; returns the exit status."""
    chosen = _arguments()
    folders = Folders(chosen.folder / "blobs", chosen.folder / "layers", chosen.folder / "cache")
    try:
        image = _make(folders)
        print(f"{image.digest}  {image.size / 1e6:.1f} MB", file=sys.stderr)
        if chosen.command == "push":
            print(_push(chosen, image, folders.blobs))
    except BuildError as error:
        print(f"{error.message} {error.hint or ''}", *error.log, sep="\n", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=("build", "push"))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "base-images", help="blobs and cache")
    parser.add_argument("--registry", default="", help="host or host:port")
    parser.add_argument("--repository", default="ingot/ingot", help="the repository of Ingot's own image")
    parser.add_argument("--plain-http", action="store_true", help="a registry without TLS")
    parser.add_argument("--ca-file", default="", help="CA certificates of the registry")
    parser.add_argument("--key", type=Path, help="PEM file of the key that signs images")
    chosen = parser.parse_args()
    if chosen.command == "push" and not chosen.registry:
        parser.error("push needs --registry")
    return chosen


def _make(folders: Folders) -> IngotImage:
    runtime = Runtime(ROOT / "templates" / "runtimes" / "python", Path(sysconfig.get_path("platlib")))
    listed = read_list("python3.11", machine_platform())
    return make_image(ROOT, make_base(listed, runtime, folders.blobs, folders.cache), folders)


def _push(chosen: argparse.Namespace, image: IngotImage, blobs: Path) -> str:
    access = Access(
        chosen.registry,
        plain_http=chosen.plain_http,
        username=os.environ.get("INGOT_REGISTRY_USER", ""),
        password=os.environ.get("INGOT_REGISTRY_PASSWORD", ""),
        ca_file=chosen.ca_file,
    )
    with Conversation(access) as conversation:
        registry = Registry(conversation)
        place = RegistryPlace(registry, registry.repository(chosen.repository))
        for layer in image.layers:
            place.put_blob(of_file(blob_path(blobs, layer.digest), layer.digest))
        place.put_blob(of_bytes(blob_path(blobs, image.config).read_bytes()))
        stored = Stored(MANIFEST, image_manifest(image, blobs))
        place.put_manifest(f"i-{image.digest.removeprefix('sha256:')}", stored)
        if chosen.key:
            sign(place, stored, SigningKey.from_pem(chosen.key.read_bytes()))
        return place.reference(image.digest)


if __name__ == "__main__":
    sys.exit(main())
