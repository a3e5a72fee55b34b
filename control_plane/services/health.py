"""Whether this process can serve, part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from control_plane.domain.identity import Actor
from control_plane.errors import Unavailable
from control_plane.services.changes import Changes

__all__ = ["Health"]


class Health:
    """The question that a load balancer asks.

    Only what this process itself cannot do without counts: another one that is
    down, as the gateway or the host, is shown by the monitor and by `ingot status`.
    """

    def __init__(self, changes: Changes, parts: Mapping[str, Callable[[], None]] | None = None) -> None:
        self._changes = changes
        # Name of a part -> what raises when the part does not answer.
        self._parts = {"control database": self._database, **(parts or {})}

    def check(self) -> tuple[str, ...]:
        """Return the parts when every one of them answers. Raises Unavailable, naming those that do not."""
        wrong: list[tuple[str, str]] = []
        for name, look in self._parts.items():
            try:
                look()
            except Exception as error:  # noqa: BLE001 - whatever a part meets, it does not answer.
                wrong.append((f"/{name.replace(' ', '_')}", _sentence(error)))
        if wrong:
            named = ", ".join(pointer[1:].replace("_", " ") for pointer, _ in wrong)
            raise Unavailable(f"Not ready: {named}.", hint="Try again in a moment.", errors=tuple(wrong))
        return tuple(self._parts)

    def _database(self) -> None:
        with self._changes.read(Actor.nobody()) as view:
            view.unit.identity.count_users()


def _sentence(error: Exception) -> str:
    # Anybody may ask, so a driver's message with addresses and paths stays in the log.
    return error.message if isinstance(error, Unavailable) else "It does not answer."
