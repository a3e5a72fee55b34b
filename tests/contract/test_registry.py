"""What every registry does for the client: the fake and a real one, without and with credentials."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.oci import canonical
from builders.registry.access import Access, Patience
from builders.registry.client import Registry, Stored
from builders.registry.conversation import Conversation
from builders.registry.names import digest_of
from builders.registry.sources import of_bytes, of_file
from tests.support.docker_registry import PASSWORD, USER, running_registry
from tests.support.fake_registry import FakeRegistry, running_fake_registry

_TYPE = "application/vnd.oci.image.manifest.v1+json"
_KINDS = [f"{kind}-{auth or 'open'}" for kind in ("fake", "docker") for auth in ("", "basic", "bearer")]


@pytest.fixture(scope="module", params=_KINDS)
def access(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    kind, _, auth = request.param.partition("-")
    auth = "" if auth == "open" else auth
    with ExitStack() as stack:
        if kind == "fake":
            fake = stack.enter_context(
                running_fake_registry(FakeRegistry(auth=auth, username=USER, password=PASSWORD))
            )
            address = fake.address
        else:
            try:
                address = stack.enter_context(
                    running_registry(tmp_path_factory.mktemp("registry"), auth=auth)
                )
            except FileNotFoundError as reason:
                pytest.skip(str(reason))
        yield Access(
            address, plain_http=True, username=USER if auth else "", password=PASSWORD if auth else ""
        )


@pytest.fixture
def registry(access: Access) -> Iterator[Registry]:
    with Conversation(access) as conversation:
        yield Registry(conversation, chunk=1 << 16)


def _manifest(config: bytes, subject: str = "") -> Stored:
    document = {
        "schemaVersion": 2,
        "mediaType": _TYPE,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest_of(config),
            "size": len(config),
        },
        "layers": [],
    }
    if subject:
        document["subject"] = {"mediaType": _TYPE, "digest": subject, "size": 1}
    return Stored(_TYPE, canonical(document))


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 16, (1 << 18) + 17])
def test_a_blob_comes_back_as_it_went(registry: Registry, tmp_path: Path, size: int) -> None:
    repository = registry.repository("round/trip")
    content = os.urandom(size)
    (tmp_path / "blob").write_bytes(content)
    blob = of_file(tmp_path / "blob", digest_of(content))
    assert registry.put_blob(repository, blob) in ("sent", "present")
    assert registry.put_blob(repository, blob) == "present"
    assert registry.blob(repository, blob.digest, size) == content
    stream = io.BytesIO(b"what was there before")
    registry.blob_to(repository, blob.digest, size, stream)
    assert stream.getvalue() == content


def test_a_blob_is_mounted_from_a_neighbour(registry: Registry) -> None:
    first, second = registry.repository("mount/from"), registry.repository("mount/to")
    blob = of_bytes(os.urandom(5000))
    assert registry.put_blob(first, blob) == "sent"
    assert not registry.has_blob(second, blob.digest)
    assert registry.put_blob(second, blob, mount_from=first.name) == "mounted"
    assert registry.blob(second, blob.digest, 5000) == blob.content
    # What the neighbour has not is sent all the same.
    assert registry.put_blob(second, of_bytes(os.urandom(100)), mount_from=first.name) == "sent"


def test_what_is_not_there_is_said_to_be_absent(registry: Registry) -> None:
    repository = registry.repository("nothing/here")
    absent = digest_of(b"absent")
    assert not registry.has_blob(repository, absent)
    assert registry.manifest(repository, absent) is None
    assert registry.manifest(repository, "latest") is None
    assert list(registry.tags(repository)) == []
    with pytest.raises(FileNotFoundError):
        registry.blob(repository, absent, 10)


def test_other_bytes_than_the_digest_are_refused(registry: Registry) -> None:
    blob = of_bytes(b"good")
    forged = type(blob)(blob.digest, 4, b"evil")
    with pytest.raises(BuildError) as caught:
        registry.put_blob(registry.repository("forged"), forged)
    assert caught.value.code == "registry_corrupt"
    assert not registry.has_blob(registry.repository("forged"), blob.digest)


def test_a_manifest_is_found_by_digest_and_tag_until_it_is_deleted(registry: Registry) -> None:
    repository = registry.repository("mani/fest")
    config = os.urandom(20)
    registry.put_blob(repository, of_bytes(config))
    stored = _manifest(config)
    registry.put_manifest(repository, stored.digest, stored)
    for tag in ("a", "b", "c", "d"):
        registry.put_manifest(repository, tag, stored)
    assert registry.manifest(repository, "c") == stored
    assert registry.manifest(repository, stored.digest) == stored
    assert registry.has_manifest(repository, "a")
    assert set(registry.tags(repository)) == {"a", "b", "c", "d"}
    assert registry.delete_manifest(repository, stored.digest)
    assert not registry.has_manifest(repository, stored.digest)
    assert registry.manifest(repository, "c") is None
    assert not registry.delete_manifest(repository, stored.digest)
    assert registry.delete_blob(repository, digest_of(config))
    assert not registry.has_blob(repository, digest_of(config))


def test_a_manifest_needs_its_blobs(registry: Registry) -> None:
    stored = _manifest(os.urandom(20))
    with pytest.raises(BuildError) as caught:
        registry.put_manifest(registry.repository("in/complete"), stored.digest, stored)
    assert caught.value.code == "registry_refused"


def test_referrers_are_listed_or_said_not_to_be(registry: Registry) -> None:
    repository = registry.repository("re/ferrers")
    config = os.urandom(20)
    registry.put_blob(repository, of_bytes(config))
    subject = _manifest(config)
    registry.put_manifest(repository, subject.digest, subject)
    referrer = _manifest(config, subject.digest)
    kept = registry.put_manifest(repository, referrer.digest, referrer)
    found = registry.referrers(repository, subject.digest)
    assert (found is not None) == kept
    if found is not None:
        assert [one["digest"] for one in found] == [referrer.digest]


def test_wrong_credentials_are_refused_in_words(access: Access) -> None:
    if not access.username:
        pytest.skip("this registry asks for none")
    wrong = Access(access.address, plain_http=True, username=USER, password="guessed")
    with Conversation(wrong) as conversation, pytest.raises(BuildError) as caught:
        Registry(conversation).has_blob(Registry(conversation).repository("x"), digest_of(b"x"))
    assert caught.value.code == "registry_refused"
    assert "guessed" not in f"{caught.value.message}{wrong!r}"


def test_a_registry_that_keeps_everything_says_so(tmp_path: Path) -> None:
    with ExitStack() as stack:
        fake = stack.enter_context(running_fake_registry(FakeRegistry(deletes=False)))
        addresses = [fake.address]
        with suppress(FileNotFoundError):
            addresses.append(stack.enter_context(running_registry(tmp_path, deletes=False)))
        for address in addresses:
            patience = Patience(attempts=2)
            with Conversation(Access(address, plain_http=True, patience=patience)) as conversation:
                registry = Registry(conversation)
                repository = registry.repository("kept")
                registry.put_blob(repository, of_bytes(b"{}"))
                stored = _manifest(b"{}")
                registry.put_manifest(repository, "tag", stored)
                with pytest.raises(BuildError) as caught:
                    registry.delete_manifest(repository, stored.digest)
                assert caught.value.code == "registry_keeps_all"
                assert registry.has_manifest(repository, "tag")
