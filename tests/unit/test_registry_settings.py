"""Settings of the registry become images, or an error that names the setting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builders.signature import SigningKey
from control_plane.adapters.cluster.builder import KeepingBuilder
from control_plane.adapters.cluster.images import RegistryImages
from control_plane.adapters.embedded.images import EmbeddedBuilder
from control_plane.bootstrap.images import make_builder, make_images
from control_plane.errors import Invalid
from control_plane.settings import Registry, Settings
from tests.support.fakes import FakeBlobs

_KEY, _OTHER, _THIRD = SigningKey.generate(), SigningKey.generate(), SigningKey.generate()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "key.pem").write_bytes(_KEY.pem)
    (tmp_path / "trusted.pem").write_bytes(b"comment\n" + _OTHER.public.pem + _THIRD.public.pem)
    (tmp_path / "password").write_text("secret\n")
    registry = Registry(
        address="https://registry.example:5000/",
        username="robot",
        password_file=str(tmp_path / "password"),
        signing_key_file=str(tmp_path / "key.pem"),
        trusted_keys_file=str(tmp_path / "trusted.pem"),
    )
    return Settings(data=tmp_path / "data", run=tmp_path / "run", registry=registry)


def test_a_registry_keeps_what_is_built(settings: Settings) -> None:
    images = make_images(settings)
    assert isinstance(images, RegistryImages)
    assert (images.access.address, images.access.plain_http) == ("registry.example:5000", False)
    assert (images.access.username, images.access.password) == ("robot", "secret")
    assert "secret" not in repr(images.access)
    assert [one.pem for one in images.trusted] == [_OTHER.public.pem, _THIRD.public.pem]
    assert isinstance(make_builder(settings, FakeBlobs()), KeepingBuilder)


def test_without_an_address_everything_stays_here(settings: Settings) -> None:
    alone = replace(settings, registry=Registry())
    assert make_images(alone) is None
    assert isinstance(make_builder(alone, FakeBlobs()), EmbeddedBuilder)


def test_a_registry_inside_the_cluster_needs_no_tls(settings: Settings) -> None:
    inside = replace(settings, registry=replace(settings.registry, address="http://198.18.255.1:5000"))
    images = make_images(inside)
    assert isinstance(images, RegistryImages)
    assert images.access.plain_http


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "registry.example"),
        ("address", "ftp://registry.example"),
        ("address", "https://registry.example/path"),
        ("address", "https://user:password@registry.example"),
        ("prefix", "Ingot"),
        ("prefix", "../x"),
        ("signing_key_file", ""),
        ("signing_key_file", "/nonexistent/key.pem"),
        ("password_file", "/nonexistent/password"),
    ],
)
def test_what_cannot_be_used_is_named(settings: Settings, field: str, value: str) -> None:
    changed = replace(settings, registry=replace(settings.registry, **{field: value}))
    with pytest.raises(Invalid) as caught:
        make_images(changed)
    assert (caught.value.field or "").startswith("registry.")
