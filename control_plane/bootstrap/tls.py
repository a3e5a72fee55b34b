"""Certificates of this machine: made for development, put in place while the gateway runs, looked at."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from control_plane.adapters.gateway.certificate import (
    Certificate,
    make_self_signed,
    read_certificate,
    serve_certificate,
)
from control_plane.bootstrap.gateway import keep_configured_certificate, make_gateway_settings
from control_plane.errors import Conflict, NotFound
from control_plane.settings import Settings
from control_plane.supervisor.folders import choose_identities
from control_plane.supervisor.up import checkout

__all__ = ["days_left", "make_for_development", "reload_certificate", "shown_certificate"]


def make_for_development(settings: Settings, names: tuple[str, ...], days: int) -> tuple[Path, Path]:
    """Write a self-signed certificate with its key, and alone for those who shall trust it."""
    folder = settings.data / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole, alone = folder / "tls.pem", folder / "tls-certificate.pem"
    if whole.exists():
        raise Conflict(f"{whole} is there already.", hint="Remove it first, if it is to be replaced.")
    address = settings.listen.address
    known = ("localhost", "127.0.0.1", "::1", *(() if address in ("", "0.0.0.0", "::") else (address,)))  # noqa: S104
    pem = make_self_signed((*names, *known), days, datetime.now(UTC))
    descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(pem)
    alone.write_text(pem[: pem.index("-----BEGIN PRIVATE KEY")])
    return whole, alone


def shown_certificate(settings: Settings) -> Certificate:
    """Return the certificate of the settings. Raises NotFound without TLS, Invalid when it is no good."""
    if not settings.tls.certificate:
        raise NotFound("No certificate is set.", hint="Set tls.certificate; see the settings page.")
    return read_certificate(
        Path(settings.tls.certificate), Path(settings.tls.key) if settings.tls.key else None
    )


def days_left(certificate: Certificate) -> int:
    """Return whole days until it expires."""
    return certificate.days_left(datetime.now(UTC))


def reload_certificate(settings: Settings) -> tuple[Certificate, bool]:
    """Read the certificate's files again; return it and whether a running gateway took it."""
    certificate = shown_certificate(settings)
    identities = choose_identities(settings, (checkout(), Path(sys.executable)))
    gateway = make_gateway_settings(settings, asdict(identities))
    # A running gateway first: what it refuses must not be what the next start begins with.
    served = serve_certificate(gateway, certificate)
    keep_configured_certificate(settings, gateway)
    return certificate, served
