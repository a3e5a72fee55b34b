"""Images of versions: what is in traffic or may be is never removed, and what goes was unneeded for long."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.identity import Actor
from control_plane.domain.image_retention import Held, unneeded_images
from control_plane.domain.releases import ROLLBACK_MS, ReleaseState
from control_plane.domain.retention import HOUR_MS
from control_plane.domain.versions import Version, VersionState
from control_plane.errors import Unavailable
from control_plane.ports import StoredImage, VersionImage
from control_plane.services.image_retention import ImageRetention
from control_plane.services.retention import Retention
from tests.support.builders import World
from tests.support.fake_contents import FakeContents
from tests.support.fake_images import FakeImages
from tests.unit.conftest import People
from tests.unit.test_retention import RULES

_GRACE = 48 * HOUR_MS
_RUNTIME = "python3.11"

_VERSIONS, _BASES = st.sampled_from("vwx"), st.sampled_from("ab")


@given(
    st.sets(st.tuples(_VERSIONS, _BASES)),
    st.frozensets(st.tuples(_VERSIONS, _BASES)),
    st.dictionaries(_VERSIONS, st.sampled_from(["python3.11", "python3.12"])),
    st.dictionaries(st.sampled_from(["python3.11", "python3.12"]), _BASES),
)
def test_nothing_that_is_in_use_or_may_be_released_is_unneeded(
    pairs: set[tuple[str, str]],
    in_use: frozenset[tuple[str, str]],
    releasable: dict[str, str],
    bases: dict[str, str],
) -> None:
    held = [Held(f"{version}{base}", version, base) for version, base in sorted(pairs)]
    doomed = set(unneeded_images(held, in_use, releasable, bases))
    for image in held:
        if (image.version, image.base) in in_use:
            assert image.digest not in doomed
        runtime = releasable.get(image.version)
        if runtime is not None and bases.get(runtime) in (None, image.base):
            assert image.digest not in doomed
        if runtime is None and (image.version, image.base) not in in_use:
            assert image.digest in doomed


@pytest.fixture
def images() -> FakeImages:
    return FakeImages(_RUNTIME)


@pytest.fixture
def retention(world: World, images: FakeImages) -> ImageRetention:
    return ImageRetention(world.changes, images, grace_ms=_GRACE, batch=100)


def _published(images: FakeImages, version: Version) -> StoredImage:
    order = VersionImage(version.organization, version.manifest_text, version.layers, b"{}")
    return images.publish(order, images.base(_RUNTIME))


def _swept(world: World, retention: ImageRetention) -> int:
    """Look twice, a grace apart, and return what the second look removed."""
    assert retention.clean()[0].count == 0, "nothing goes at the first look"
    world.clock.advance(ms=_GRACE + 1)
    foretold = retention.preview()[0].count
    assert retention.clean()[0].count == foretold
    return foretold


def test_a_version_that_may_be_released_keeps_its_image(
    world: World, people: People, images: FakeImages, retention: ImageRetention
) -> None:
    image = _published(images, world.frozen(people.author))
    assert _swept(world, retention) == 0
    assert images.stored(people.author.organization) == (image,)


def test_a_retired_version_loses_its_image_after_the_grace(
    world: World, people: People, images: FakeImages, retention: ImageRetention
) -> None:
    _retired(world, people, images)
    assert _swept(world, retention) == 1
    assert images.stored(people.author.organization) == ()
    assert retention.preview()[0].count == 0


def _retired(world: World, people: People, images: FakeImages) -> Version:
    """Return a version that has an image and may not be released any more."""
    version = world.frozen(people.author)
    _published(images, version)
    _move(world, version, VersionState.RETIRED)
    return version


def _move(world: World, version: Version, state: VersionState) -> None:
    with world.changes.change(Actor.system(""), "version.move") as change:
        change.unit.versions.update(replace(version, state=state, reason="a test"))


def test_an_image_on_an_old_base_stays_as_long_as_a_release_may_come_back(
    world: World, people: People, images: FakeImages, retention: ImageRetention
) -> None:
    version = world.frozen(people.author)
    release = _released(world, people, version)
    old = _published(images, version)
    images.images[version.organization][old.digest] = StoredImage(
        old.reference, old.digest, version.digest, release
    )
    images.renew_base()
    new = _published(images, version)
    assert _swept(world, retention) == 0, "it is in traffic"
    _end(world, version)
    assert _swept(world, retention) == 0, "a rollback would bring it back"
    world.clock.advance(ms=ROLLBACK_MS + 1)
    assert _swept(world, retention) == 1
    assert [one.digest for one in images.stored(version.organization)] == [new.digest]


def _released(world: World, people: People, version: Version) -> str:
    """Release it; returns the base that the release stands on."""
    world.approved(people.author, people.reviewer, version)
    release = world.released(people.operator, version)
    world.settle()
    return release.parts[0].base


def _end(world: World, version: Version) -> None:
    with world.changes.change(Actor.system(""), "release.end") as change:
        for release in change.unit.releases.active_of(version.organization, version.function):
            ended = replace(release, state=ReleaseState.SUPERSEDED, ended_ms=change.now_ms)
            change.unit.releases.update(ended)


def test_what_is_needed_again_begins_its_grace_anew(
    world: World, people: People, images: FakeImages, retention: ImageRetention
) -> None:
    version = _retired(world, people, images)
    retention.clean()
    world.clock.advance(ms=_GRACE // 2)
    _move(world, version, VersionState.FROZEN)
    retention.clean()
    _move(world, version, VersionState.RETIRED)
    world.clock.advance(ms=_GRACE // 2 + 1)
    assert retention.clean()[0].count == 0
    world.clock.advance(ms=_GRACE + 1)
    assert retention.clean()[0].count == 1


def test_a_registry_that_keeps_everything_is_an_error_that_is_told(world: World, people: People) -> None:
    images = FakeImages(_RUNTIME, deletes=False)
    retention = ImageRetention(world.changes, images, grace_ms=_GRACE, batch=100)
    _retired(world, people, images)
    retention.clean()
    world.clock.advance(ms=_GRACE + 1)
    with pytest.raises(Unavailable, match="does not delete"):
        retention.clean()
    assert retention.preview()[0].count == 1, "it is tried again"


def test_a_clean_up_of_content_does_not_forget_images(
    world: World, people: People, images: FakeImages, retention: ImageRetention
) -> None:
    _retired(world, people, images)
    retention.clean()
    Retention(world.changes, FakeContents(), RULES).clean_content()
    world.clock.advance(ms=_GRACE + 1)
    assert retention.clean()[0].count == 1
