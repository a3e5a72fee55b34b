"""What every Images does: a registry, a real one, folders, and the fake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders.base.assemble import BaseImage
from builders.base.stored import push_base
from builders.build import Folders, build, freeze, lock, read_draft
from builders.errors import BuildError
from builders.place import RegistryPlace
from builders.registry.access import Access
from builders.registry.client import Registry
from builders.registry.conversation import Conversation
from builders.registry.names import digest_of
from builders.signature import SigningKey
from builders.storage import remove_tree
from control_plane.adapters.cluster.images import RegistryImages
from control_plane.adapters.embedded.host.interpreters import running_runtime
from control_plane.adapters.embedded.image_layouts import LayoutImages
from control_plane.errors import Invalid
from control_plane.ports import Images, VersionImage
from tests.support.docker_registry import PASSWORD, USER, running_registry
from tests.support.fake_images import FakeImages
from tests.support.fake_registry import FakeRegistry, running_fake_registry
from tests.support.small_base import small_base

_KEY = SigningKey.generate()
_TOML = f'runtime = "{running_runtime()}"\n'.encode()


@dataclass
class Case:
    """Images, the machine's folders, and a way to make another base image current."""

    images: Images
    folders: Folders
    renew_base: Callable[[], None]

    def version(self, code: str, organization: str = "org_01a") -> VersionImage:
        """Build a version of one line of code."""
        source = f"def execute(input, context):\n    return {code}\n"
        files = {"main.py": source.encode(), "ingot.toml": _TOML}
        plan = read_draft(files)
        locked = lock(plan, self.folders.cache)
        frozen = freeze(plan, locked)
        built = build(frozen, files, locked, self.folders)
        self.images.keep(built.image)
        return VersionImage(organization, frozen.manifest.decode(), built.layers, built.sbom)

    def publish(self, version: VersionImage) -> str:
        """Publish it on the current base image."""
        return self.images.publish(version, self.images.base(running_runtime())).digest


@pytest.fixture(params=["fake", "folders", "registry", "old-registry", "docker-registry"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    folders = Folders(tmp_path / "blobs", tmp_path / "layers", tmp_path / "cache")
    if request.param == "fake":
        fake = FakeImages(running_runtime())
        yield Case(fake, folders, fake.renew_base)
    elif request.param == "folders":
        yield _folders_case(tmp_path, folders)
    else:
        with ExitStack() as stack:
            yield _registry_case(stack, request.param, tmp_path, folders)
    remove_tree(tmp_path / "layers")


def _folders_case(tmp_path: Path, folders: Folders) -> Case:
    bases = [_base(folders, b"first")]

    def make_base(runtime: str) -> BaseImage:
        if runtime != running_runtime():
            raise BuildError("base_unavailable", f"There is no base image for {runtime}.")
        return bases[-1]

    images = LayoutImages(tmp_path / "images", folders, _KEY, make_base)
    return Case(images, folders, lambda: bases.append(_base(folders, b"second")))


def _registry_case(stack: ExitStack, kind: str, tmp_path: Path, folders: Folders) -> Case:
    if kind == "docker-registry":
        try:
            address = stack.enter_context(running_registry(tmp_path, auth="basic"))
        except FileNotFoundError as reason:
            pytest.skip(str(reason))
    else:
        fake = FakeRegistry(auth="bearer", referrers=kind == "registry", username=USER, password=PASSWORD)
        address = stack.enter_context(running_fake_registry(fake)).address
    access = Access(address, plain_http=True, username=USER, password=PASSWORD)

    def push(note: bytes) -> None:
        with Conversation(access) as conversation:
            registry = Registry(conversation)
            place = RegistryPlace(registry, registry.repository("ingot/base"))
            push_base(place, _base(folders, note), _KEY, folders.blobs)

    push(b"first")
    images = _Local(access, "ingot", folders, _KEY)
    return Case(images, folders, lambda: push(b"second"))


class _Local(RegistryImages):
    """Compiles with this Python, as the small base image has no interpreter of its own."""

    def _base(self, place: object, digest: str) -> BaseImage:
        for note in (b"first", b"second"):
            base = _base(self.folders, note)
            if base.digest == digest:
                return base
        raise Invalid("There is no such base image.")


def _base(folders: Folders, note: bytes) -> BaseImage:
    return small_base(folders.blobs, folders.cache, running_runtime(), note=note)


def test_a_published_image_is_found_with_what_it_holds(case: Case) -> None:
    base = case.images.base(running_runtime())
    version = case.version("1")
    image = case.images.publish(version, base)
    assert image.reference.endswith(f"@{image.digest}")
    assert image.base == base
    assert image.version == digest_of(version.manifest.encode())
    assert case.images.stored("org_01a") == (image,)
    assert case.images.stored("org_01b") == ()


def test_publishing_again_is_the_same_image(case: Case) -> None:
    version = case.version("1")
    assert case.publish(version) == case.publish(version)
    assert len(case.images.stored("org_01a")) == 1
    assert case.publish(case.version("2")) != case.publish(version)
    assert len(case.images.stored("org_01a")) == 2


def test_a_new_base_image_makes_another_image_of_the_same_version(case: Case) -> None:
    version = case.version("1")
    first = case.publish(version)
    case.renew_base()
    second = case.publish(version)
    assert first != second
    stored = {one.digest: one for one in case.images.stored("org_01a")}
    assert set(stored) == {first, second}
    assert stored[first].version == stored[second].version
    assert stored[first].base != stored[second].base


def test_an_image_is_found_by_what_it_holds(case: Case) -> None:
    version, base = case.version("1"), case.images.base(running_runtime())
    digest = digest_of(version.manifest.encode())
    assert case.images.find("org_01a", digest, base) is None
    image = case.images.publish(version, base)
    assert case.images.find("org_01a", digest, base) == image
    assert case.images.find("org_01b", digest, base) is None
    assert case.images.find("org_01a", digest, digest_of(b"another base")) is None
    case.images.remove("org_01a", [image.digest])
    assert case.images.find("org_01a", digest, base) is None


def test_what_is_removed_is_gone_and_nothing_else(case: Case) -> None:
    shared = case.version("1")
    kept, doomed = case.publish(shared), case.publish(case.version("2"))
    other = case.publish(case.version("2", "org_01b"))
    assert case.images.remove("org_01a", [doomed]) == 1
    assert case.images.remove("org_01a", [doomed]) == 0
    assert [one.digest for one in case.images.stored("org_01a")] == [kept]
    assert [one.digest for one in case.images.stored("org_01b")] == [other]
    # What was removed can be published again, and what stayed is still whole.
    assert case.publish(case.version("2")) == doomed
    assert case.publish(shared) == kept


def test_there_is_no_base_image_for_an_unknown_runtime(case: Case) -> None:
    with pytest.raises(Invalid):
        case.images.base("python3.99")
