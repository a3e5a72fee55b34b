"""What one app holds beside its routes: the services, its options and its keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask import current_app

from control_plane.api.metrics import Metrics
from control_plane.api.paging import Cursors

if TYPE_CHECKING:
    from control_plane.services.container import Services

__all__ = ["ApiOptions", "ApiState", "api_options", "services"]


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """What the HTTP edge needs to know of its surroundings."""

    # Exact origins of the console; a browser's unsafe request must come from one of them.
    console_origins: frozenset[str] = frozenset({"http://127.0.0.1:8080", "http://localhost:8080"})
    # The port in the session cookie's name: cookies ignore ports, so two Ingots on one
    # machine would otherwise sign each other out.
    cookie_port: int = 8080
    # Behind HTTPS the cookie must not travel in the clear.
    secure_cookie: bool = False
    functions_url: str = "http://127.0.0.1:8081"
    # Signs cursors; the same in every process of an installation.
    cursor_key: bytes = field(default=b"", repr=False)
    json_limit: int = 1_000_000
    archive_limit: int = 20_000_000

    @property
    def cookie_name(self) -> str:
        """The session cookie's name."""
        return f"ingot_session_{self.cookie_port}"


@dataclass(frozen=True, slots=True)
class ApiState:
    """Everything that views reach through the app."""

    services: Services
    options: ApiOptions
    cursors: Cursors
    metrics: Metrics


def _state() -> ApiState:
    state: ApiState = current_app.extensions["ingot"]
    return state


def services() -> Services:
    """Return the services behind the current app."""
    return _state().services


def api_options() -> ApiOptions:
    """Return the options of the current app."""
    return _state().options
