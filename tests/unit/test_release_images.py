"""The image of a wanted target: published once, found ever after, and always that of the release's base."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control_plane.domain.desired import HostTarget
from control_plane.domain.events import Event, type_of
from control_plane.domain.versions import Version
from control_plane.errors import Invalid, NotFound
from control_plane.services.release_images import ReleaseImages
from tests.support.builders import World
from tests.support.fake_images import FakeImages
from tests.support.fakes import FakeBlobs
from tests.unit.conftest import People

_RUNTIME = "python3.11"


@pytest.fixture
def images() -> FakeImages:
    return FakeImages(_RUNTIME)


class _Bills(FakeBlobs):
    """The bills of materials that the fake builder names without making them."""

    def get(self, digest: str) -> bytes:
        if digest not in self.contents:
            raise FileNotFoundError(digest)
        return self.contents[digest]


def _service(world: World, images: FakeImages, *versions: Version) -> ReleaseImages:
    blobs = _Bills()
    blobs.contents = {version.sbom: b"{}" for version in versions}
    return ReleaseImages(world.changes, images, blobs)


def _target(version: Version, base: str) -> HostTarget:
    return HostTarget(
        id="t0123456789abcdef",
        organization=version.organization,
        project=version.project,
        function=version.function,
        function_name="orders",
        version=version.id,
        number=version.number,
        digest=version.digest,
        runtime=_RUNTIME,
        kind="handler",
        handler="main:execute",
        layers=version.layers,
        base=base,
    )


def test_an_image_is_published_when_it_is_first_wanted(
    world: World, people: People, images: FakeImages
) -> None:
    version = world.frozen(people.author)
    target = _target(version, images.base(_RUNTIME))
    reference = _service(world, images, version).of(target)
    (stored,) = images.stored(version.organization)
    assert (stored.reference, stored.version, stored.base) == (reference, version.digest, target.base)


def test_what_was_published_is_found_by_every_process(
    world: World, people: People, images: FakeImages
) -> None:
    version = world.frozen(people.author)
    target = _target(version, images.base(_RUNTIME))
    first = _service(world, images, version)
    reference = first.of(target)
    asked = images.asked
    assert first.of(target) == reference
    assert images.asked == asked, "it is remembered"
    # Another process needs neither the row nor the bill of materials.
    assert _service(world, images).of(replace(target, version="ver_gone")) == reference


def test_another_base_is_another_image(world: World, people: People, images: FakeImages) -> None:
    version = world.frozen(people.author)
    service = _service(world, images, version)
    old = service.of(_target(version, images.base(_RUNTIME)))
    images.renew_base()
    assert service.of(_target(version, images.base(_RUNTIME))) != old
    with pytest.raises(Invalid, match="no such base"):
        service.of(_target(version, "cpython-3.11.2/main/linux-x86_64"))


def test_what_cannot_be_published_is_said(world: World, people: People, images: FakeImages) -> None:
    version = world.frozen(people.author)
    target = _target(version, images.base(_RUNTIME))
    with pytest.raises(NotFound, match="no version"):
        _service(world, images, version).of(replace(target, version="ver_gone"))
    with pytest.raises(NotFound, match="bill of materials"):
        _service(world, images).of(target)
    assert images.stored(version.organization) == ()


def _approved(world: World) -> Event:
    with world.store.read() as unit:
        waiting = unit.outbox.waiting(500)
    return next(event for event in reversed(waiting) if event.type == type_of("review.approved"))


def test_the_image_of_an_approved_version_is_there_before_its_release(
    world: World, people: People, images: FakeImages
) -> None:
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    service = _service(world, images, version)
    service.prepare(_approved(world))
    (stored,) = images.stored(version.organization)
    assert (stored.version, stored.base) == (version.digest, images.base(_RUNTIME))
    # The release finds it, and a second event finds nothing to do.
    assert _service(world, images).of(_target(version, images.base(_RUNTIME))) == stored.reference
    _service(world, images).prepare(_approved(world))


def test_nothing_is_prepared_before_everybody_approved_or_after_a_version_was_retired(
    world: World, people: People, images: FakeImages
) -> None:
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    event, service = _approved(world), _service(world, images, version)
    service.prepare(replace(event, data={**event.data, "state": "open"}))
    world.versions.retire(people.owner, version.function, version.number, reason="It is wrong.")
    service.prepare(event)
    assert images.stored(version.organization) == ()
