"""The gateway's own settings, from Ingot's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from control_plane.adapters.gateway.model import GatewaySettings
from control_plane.settings import Settings

if TYPE_CHECKING:
    from control_plane.adapters.gateway.certificate import Certificate

__all__ = ["keep_configured_certificate", "make_gateway_settings"]


def make_gateway_settings(settings: Settings, identities: Mapping[str, int | None]) -> GatewaySettings:
    """Return the gateway's own settings."""
    return GatewaySettings(
        run_folder=settings.run,
        data_folder=settings.data / "gateway",
        first_slots=settings.gateway.slots,
        queue_timeout_ms=settings.gateway.queue_timeout_ms,
        api_processes=settings.api.count,
        control_gid=identities.get("group"),
        ingress=settings.gateway.ingress,
        replicas=settings.gateway.replicas,
        tls=bool(settings.tls.certificate),
        console_scheme=urlsplit(settings.console_url).scheme,
        functions_scheme=urlsplit(settings.functions_url).scheme,
        trace_percent=settings.traces.percent if settings.traces.endpoint else 0.0,
    )


def keep_configured_certificate(settings: Settings, gateway: GatewaySettings) -> Certificate | None:
    """Put the certificate of the settings where the gateway finds it; None without TLS.

    Raises Invalid when its files are not to be read or do not belong together.
    """
    if not settings.tls.certificate:
        return None
    # The meter and others read this module too, and shall not load a library for certificates.
    from control_plane.adapters.gateway.certificate import keep_certificate, read_certificate

    key = Path(settings.tls.key) if settings.tls.key else None
    certificate = read_certificate(Path(settings.tls.certificate), key)
    keep_certificate(gateway, certificate)
    return certificate
