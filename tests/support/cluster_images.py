"""Images of small functions in the cluster's own registry, made by the product's builders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import jsonschema_rs

from builders.base.assemble import BaseImage, make_base
from builders.base.package_list import read_list
from builders.base.runtime_files import Runtime
from builders.build import Folders, build
from builders.freeze import freeze
from builders.lock import lock
from builders.place import RegistryPlace
from builders.plan import read_draft
from builders.publish import publish
from builders.registry.access import Access
from builders.registry.client import Registry
from builders.registry.conversation import Conversation
from builders.registry.names import Repository
from builders.release_image import compose
from builders.signature import SigningKey
from knative.bootstrap.configs import REGISTRY_USER
from knative.bootstrap.plan import REGISTRY

__all__ = ["ClusterImages", "Pushed"]

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = "python3.11"


@dataclass(frozen=True, slots=True)
class Pushed:
    """A version in the registry."""

    # repository@sha256:…
    image: str
    # The version's digest.
    digest: str


class ClusterImages:
    """Builds and pushes; everything is cached below one folder."""

    def __init__(self, folder: Path, passwords: Path) -> None:
        self.folders = Folders(folder / "blobs", folder / "layers", folder / "cache")
        password = json.loads(passwords.read_text())["registry"]
        self._conversation = Conversation(
            Access(REGISTRY, plain_http=True, username=REGISTRY_USER, password=password)
        )
        self.registry = Registry(self._conversation)
        self._key = SigningKey.generate()
        self._made: dict[tuple[str, str], Pushed] = {}

    def base(self) -> BaseImage:
        """Return the base image, made once."""
        validator = Path(jsonschema_rs.__file__).parents[1]
        runtime = Runtime(ROOT / "templates" / "runtimes" / "python", validator)
        packages = read_list(RUNTIME, "linux-x86_64")
        return make_base(packages, runtime, self.folders.blobs, self.folders.cache)

    def close(self) -> None:
        """Close the connections to the registry."""
        self._conversation.close()

    def push(
        self,
        source: str,
        name: str = "orders",
        *,
        settings: tuple[str, ...] = (),
        secrets: tuple[str, ...] = (),
        streaming: bool = False,
    ) -> Pushed:
        """Return the pushed image of a function whose main.py has this text."""
        declared = f'name = "{name}"\nruntime = "{RUNTIME}"\nstreaming = {json.dumps(streaming)}\n'
        declared += f"settings = {json.dumps(settings)}\nsecrets = {json.dumps(secrets)}\n"
        known = self._made.get((source, declared))
        if known is None:
            known = self._made[source, declared] = self._push(source, name, declared)
        return known

    def _push(self, source: str, name: str, declared: str) -> Pushed:
        files = {"ingot.toml": declared.encode(), "main.py": source.encode()}
        plan = read_draft(files)
        locked = lock(plan, self.folders.cache)
        frozen = freeze(plan, locked)
        built = build(frozen, files, locked, self.folders)
        image = compose(self.base(), frozen.manifest, built.layers, self.folders)
        place = RegistryPlace(self.registry, Repository(REGISTRY, f"functions/{name}"))
        reference = publish(place, image, built.sbom, self._key, self.folders.blobs, {})
        return Pushed(reference, frozen.digest)
