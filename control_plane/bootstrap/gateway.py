"""The gateway's own settings, from Ingot's."""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.adapters.gateway.model import GatewaySettings
from control_plane.settings import Settings

__all__ = ["make_gateway_settings"]


def make_gateway_settings(settings: Settings, identities: Mapping[str, int | None]) -> GatewaySettings:
    """Return the gateway's own settings."""
    return GatewaySettings(
        run_folder=settings.run,
        data_folder=settings.data / "gateway",
        first_slots=settings.gateway.slots,
        queue_timeout_ms=settings.gateway.queue_timeout_ms,
        control_gid=identities.get("group"),
    )
