"""Runs blocking servers: one on the main thread, or several beside it.

Threads are made here, after the fork, and each accepts for itself.
"""

from __future__ import annotations

import inspect
import logging
import select
import threading
import time

from .blocking import Application, BlockingServer
from .handler import Handler, run_hook
from .logger import author_traceback
from .serving import HOOK_SECONDS, Serving
from .wsgi import WsgiApplication

__all__ = ["run"]

_log = logging.getLogger("function")
# Where memory is limited by RLIMIT_DATA, eight megabytes for each thread would be most of it.
_STACK_BYTES = 2 * 1024 * 1024


def run(serving: Serving) -> bool:
    """Serve until told to quit; False when the start-up hook failed."""
    loaded = serving.loaded
    try:
        _hook(serving, "on_start")
    except BaseException as error:  # noqa: BLE001 - the author's code; SystemExit is a failure as well.
        serving.failed("import_failed", author_traceback(error))
        return False
    application: Application = WsgiApplication(loaded) if loaded.kind == "wsgi" else Handler(loaded)
    servers = [
        BlockingServer(
            application,
            serving.listener,
            serving.table.slot(number + 1),
            timeout_ms=loaded.timeout_ms,
            entrance=loaded.entrance,
            patience=serving.patience,
        )
        for number in range(loaded.concurrency)
    ]
    serving.open()
    if len(servers) == 1:
        _serve_here(serving, servers[0])
    else:
        _serve_beside(serving, servers)
    try:
        _hook(serving, "on_stop")
    except BaseException as error:  # noqa: BLE001 - leaving goes on.
        _log.error("on_stop raised an exception.", exc_info=error)
    return True


def _serve_here(serving: Serving, server: BlockingServer) -> None:
    poll = select.epoll()
    listener = serving.listener.fileno()
    # Exclusive: a connection wakes one of the instances that share the listener, not all.
    poll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    serving.quit.watch(poll)
    serving.ready()
    while not serving.quit.asked:
        ready = {descriptor for descriptor, _ in poll.poll()}
        # A wish to quit that came during the last call goes before the next call.
        for descriptor in ready - {listener}:
            serving.quit.hear(descriptor, poll)
        if listener in ready and not serving.quit.asked and not server.accept():
            serving.quit.ask()
    serving.table.draining()


def _serve_beside(serving: Serving, servers: list[BlockingServer]) -> None:
    threads = [
        threading.Thread(
            target=_accept_until_quit, args=(serving, server), name=f"call-{number}", daemon=True
        )
        for number, server in enumerate(servers, 1)
    ]
    default = threading.stack_size(_STACK_BYTES)
    for thread in threads:
        thread.start()
    threading.stack_size(default)
    poll = select.epoll()
    serving.quit.watch(poll)
    # A thread that loses the listener asks to quit by the same pipe.
    poll.register(serving.quit.broadcast, select.EPOLLIN)
    serving.ready()
    while not serving.quit.asked:
        for descriptor, _ in poll.poll():
            serving.quit.hear(descriptor, poll)
    serving.table.draining()
    for thread in threads:
        thread.join()


def _accept_until_quit(serving: Serving, server: BlockingServer) -> None:
    poll = select.epoll()
    poll.register(serving.listener.fileno(), select.EPOLLIN | select.EPOLLEXCLUSIVE)
    poll.register(serving.quit.broadcast, select.EPOLLIN)
    while not serving.quit.asked:
        poll.poll()
        if not serving.quit.asked and not server.accept():
            serving.quit.ask()


def _hook(serving: Serving, name: str) -> None:
    result = run_hook(serving.loaded, name, time.monotonic() + HOOK_SECONDS)
    if inspect.isawaitable(result):
        import asyncio

        asyncio.run(_awaited(result))


async def _awaited(result: object) -> None:
    await result  # type: ignore[misc]
