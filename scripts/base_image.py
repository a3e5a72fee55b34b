#!/usr/bin/env python3
"""Base images: `.venv/bin/python scripts/base_image.py build|push|relock [options]`.

`build` makes the base image of a runtime from its package list, `push` puts it
into a registry, signed, as what new releases stand on, and `relock` writes the
list anew with the versions that apt would install now. Needs Debian's archive
of the list's release; `relock` needs `apt-get update` first. The registry's
user and password are read from INGOT_REGISTRY_USER and INGOT_REGISTRY_PASSWORD.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import sysconfig
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from builders.base.apt import newest
from builders.base.assemble import BaseImage, make_base
from builders.base.package_list import list_path, read_list
from builders.base.runtime_files import Runtime
from builders.base.stored import push_base
from builders.build import machine_platform
from builders.errors import BuildError
from builders.place import RegistryPlace
from builders.registry.access import Access
from builders.registry.client import Registry
from builders.registry.conversation import Conversation
from builders.signature import SigningKey

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Do what is asked; returns the exit status."""
    chosen = _arguments()
    try:
        if chosen.command == "relock":
            _relock(chosen.runtime)
            return 0
        base = _build(chosen)
        print(f"{base.digest}  {base.runtime} {base.platform}, {base.size / 1e6:.1f} MB")
        if chosen.command == "push":
            print(_push(chosen, base))
    except BuildError as error:
        print(f"{error.message} {error.hint or ''}", *error.log, sep="\n", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=("build", "push", "relock"))
    parser.add_argument("--runtime", default="python3.11")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "base-images", help="blobs and cache")
    parser.add_argument("--registry", default="", help="host or host:port")
    parser.add_argument("--prefix", default="ingot", help="the repositories' common beginning")
    parser.add_argument("--plain-http", action="store_true", help="a registry without TLS")
    parser.add_argument("--ca-file", default="", help="CA certificates of the registry")
    parser.add_argument("--key", type=Path, help="PEM file of the signing key; made when it is not there")
    chosen = parser.parse_args()
    if chosen.command == "push" and not (chosen.registry and chosen.key):
        parser.error("push needs --registry and --key")
    return chosen


def _build(chosen: argparse.Namespace) -> BaseImage:
    runtime = Runtime(ROOT / "templates" / "runtimes" / "python", Path(sysconfig.get_path("platlib")))
    listed = read_list(chosen.runtime, machine_platform())
    return make_base(listed, runtime, chosen.folder / "blobs", chosen.folder / "cache")


def _push(chosen: argparse.Namespace, base: BaseImage) -> str:
    access = Access(
        chosen.registry,
        plain_http=chosen.plain_http,
        username=os.environ.get("INGOT_REGISTRY_USER", ""),
        password=os.environ.get("INGOT_REGISTRY_PASSWORD", ""),
        ca_file=chosen.ca_file,
    )
    with Conversation(access) as conversation:
        registry = Registry(conversation)
        place = RegistryPlace(registry, registry.repository(f"{chosen.prefix}/base"))
        return place.reference(push_base(place, base, _key(chosen.key), chosen.folder / "blobs"))


def _key(path: Path) -> SigningKey:
    if not path.exists():
        key = SigningKey.generate()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.pem)
        path.with_suffix(".pub").write_bytes(key.public.pem)
    return SigningKey.from_pem(path.read_bytes())


def _relock(runtime: str) -> None:
    platform = machine_platform()
    known = read_list(runtime, platform)
    found = newest(known)
    old = {item.name: item.version for item in known.packages}
    for item in found.packages:
        if old[item.name] != item.version:
            print(f"{item.name} {old[item.name]} -> {item.version}")
    document = json.loads(found.content)
    list_path(runtime, platform).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
