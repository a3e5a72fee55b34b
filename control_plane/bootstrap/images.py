"""Who builds versions, and where their images go: this machine's folders, and a registry when one is set."""

from __future__ import annotations

import re

from builders.registry.access import Access
from builders.registry.names import Repository
from builders.signature import SigningKey, VerifyKey
from control_plane.adapters.cluster.builder import KeepingBuilder
from control_plane.adapters.cluster.images import RegistryImages
from control_plane.adapters.embedded.images import EmbeddedBuilder
from control_plane.bootstrap.named_files import named_file
from control_plane.bootstrap.storage import build_folders, make_layers
from control_plane.domain.retention import HOUR_MS
from control_plane.errors import Invalid
from control_plane.ports import Blobs, Builder, Images
from control_plane.services.changes import Changes
from control_plane.services.image_retention import ImageRetention
from control_plane.settings import Settings

__all__ = ["make_builder", "make_image_retention", "make_images"]

_PUBLIC_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----\n?", re.DOTALL)


def make_builder(settings: Settings, blobs: Blobs) -> Builder:
    """Return who locks and freezes drafts."""
    layers = make_layers(settings)
    builder = EmbeddedBuilder(blobs, build_folders(settings), layers.keep if layers is not None else None)
    images = make_images(settings)
    return KeepingBuilder(builder, images) if images is not None else builder


def make_images(settings: Settings) -> Images | None:
    """Return the registry's images; None where no registry is set. Raises Invalid, naming the setting."""
    wanted = settings.registry
    if not wanted.address:
        return None
    scheme, _, host = wanted.address.rstrip("/").rpartition("://")
    try:
        Repository(host, wanted.prefix)
    except ValueError as error:
        raise Invalid(f"The registry cannot be used: {error}.", field="registry.address") from error
    if scheme not in ("http", "https"):
        raise Invalid(
            "The registry's address begins with neither https:// nor http://.", field="registry.address"
        )
    password = named_file("registry.password_file", wanted.password_file).decode().strip()
    access = Access(
        host,
        plain_http=scheme == "http",
        username=wanted.username,
        password=password,
        ca_file=wanted.ca_file,
    )
    signer = named_file("registry.signing_key_file", wanted.signing_key_file)
    try:
        key = SigningKey.from_pem(signer)
        others = _PUBLIC_KEY.findall(named_file("registry.trusted_keys_file", wanted.trusted_keys_file))
        trusted = tuple(VerifyKey.from_pem(pem) for pem in others)
    except ValueError as error:
        raise Invalid(
            f"A key for images cannot be used: {error}.",
            field="registry.signing_key_file",
            hint="Make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        ) from error
    return RegistryImages(access, wanted.prefix, build_folders(settings), key, trusted)


def make_image_retention(settings: Settings, changes: Changes) -> ImageRetention:
    """Return the clean-up of images; it has nothing to do where no registry is set."""
    kept = settings.retention
    grace_ms = max(kept.content_hours, 1) * HOUR_MS
    return ImageRetention(changes, make_images(settings), grace_ms=grace_ms, batch=kept.batch)
