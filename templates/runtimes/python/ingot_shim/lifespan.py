"""The start-up and shut-down messages of an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .load import Loaded

__all__ = ["Lifespan", "StartupFailed"]

_log = logging.getLogger("function")


class StartupFailed(Exception):
    """The application said `lifespan.startup.failed`."""


class Lifespan:
    """Runs the application's lifespan beside its requests; `state` is shared with them."""

    def __init__(self, loaded: Loaded) -> None:
        self._application = loaded.target
        self.state: dict[str, Any] = {}
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Send the start-up and wait for its end. Raises StartupFailed."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._say("startup")

    async def stop(self) -> None:
        """Send the shut-down, if the application takes part."""
        if self._task is not None and not self._task.done():
            await self._say("shutdown")
            await self._task

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._application(scope, self._inbox.get, self._outbox.put)
        except BaseException as error:  # noqa: BLE001 - an application may refuse the lifespan by raising.
            _log.debug("the application has no lifespan: %r", error)
        await self._outbox.put({"type": "ended"})

    async def _say(self, what: str) -> None:
        await self._inbox.put({"type": f"lifespan.{what}"})
        message = await self._outbox.get()
        if message["type"] == f"lifespan.{what}.failed":
            text = str(message.get("message", ""))
            raise StartupFailed(f"The application's {what} failed: {text}")
