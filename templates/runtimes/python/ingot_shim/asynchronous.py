"""Runs asynchronous handlers and ASGI applications on one event loop.

The loop is made here, after the fork. Accepting pauses while all slots are
busy, so waiting callers stay in the listener's queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import select
import socket
import time
from typing import Any

from .answers import Answer, head_of
from .asgi import AsgiApplication
from .channel import Channel
from .context import request_id_of
from .exchange import CONTINUE, READ, hung_up, is_shut, refusal, too_slow
from .handler import AsyncHandler, failure, report, run_hook
from .http1 import Request, RequestReader
from .lifespan import Lifespan, StartupFailed
from .logger import author_traceback
from .logpipe import current_request
from .problems import Problem
from .serving import HOOK_SECONDS, Serving
from .slots import Slot

__all__ = ["run"]

_log = logging.getLogger("function")


def run(serving: Serving) -> bool:
    """Serve until told to quit; False when the start-up failed."""
    with asyncio.Runner() as runner:
        return runner.run(_AsyncServer(serving).run())


class _AsyncServer:
    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._loaded = serving.loaded
        self._free = [serving.table.slot(number) for number in range(serving.loaded.concurrency, 0, -1)]
        self._tasks: set[asyncio.Task[None]] = set()
        self._lifespan = Lifespan(serving.loaded) if serving.loaded.kind == "asgi" else None
        self._asgi = AsgiApplication(serving.loaded, self._lifespan) if self._lifespan else None
        self._handler = AsyncHandler(serving.loaded)
        # An epoll inside the loop's own: only so can waiting on the shared listener be exclusive.
        self._poll = select.epoll()
        self._poll.register(serving.listener.fileno(), select.EPOLLIN | select.EPOLLEXCLUSIVE)

    async def run(self) -> bool:
        """Start the application up, serve, drain and shut it down."""
        try:
            async with asyncio.timeout(HOOK_SECONDS):
                await self._start()
        except BaseException as error:  # noqa: BLE001 - the author's code; SystemExit is a failure as well.
            text = str(error) if isinstance(error, StartupFailed) else author_traceback(error)
            self._serving.failed("import_failed", text)
            return False
        await self._serve()
        try:
            async with asyncio.timeout(HOOK_SECONDS):
                await self._stop()
        except BaseException as error:  # noqa: BLE001 - leaving goes on.
            _log.error("The shutdown raised an exception.", exc_info=error)
        return True

    async def _start(self) -> None:
        if self._lifespan is not None:
            await self._lifespan.start()
        else:
            await self._hook("on_start")

    async def _stop(self) -> None:
        if self._lifespan is not None:
            await self._lifespan.stop()
        else:
            await self._hook("on_stop")

    async def _hook(self, name: str) -> None:
        result = run_hook(self._loaded, name, time.monotonic() + HOOK_SECONDS)
        if inspect.isawaitable(result):
            await result

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        quit_ = self._serving.quit
        left = asyncio.Event()
        poll = select.epoll()
        quit_.watch(poll)
        poll.register(quit_.broadcast, select.EPOLLIN)

        def hear() -> None:
            for descriptor, _ in poll.poll(0):
                quit_.hear(descriptor, poll)
            if quit_.asked:
                left.set()

        loop.add_reader(poll.fileno(), hear)
        self._serving.open()
        loop.add_reader(self._poll.fileno(), self._accept)
        self._serving.ready()
        await left.wait()
        loop.remove_reader(self._poll.fileno())
        loop.remove_reader(poll.fileno())
        self._serving.table.draining()
        if self._asgi is not None:
            self._asgi.leave()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self) -> None:
        try:
            connection, _ = self._serving.listener.accept()
        except OSError as error:
            passing = isinstance(error, (BlockingIOError, ConnectionAbortedError, InterruptedError))
            if passing and not is_shut(self._serving.listener.fileno()):
                return
            # The host shut it down, or the author's code used up all descriptors: start anew.
            _log.error("cannot accept: %s", error)
            self._serving.quit.ask()
            return
        connection.setblocking(False)
        slot = self._free.pop()
        loop = asyncio.get_running_loop()
        if not self._free:
            loop.remove_reader(self._poll.fileno())
        task = loop.create_task(self._converse(connection, slot))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(done, slot))

    def _done(self, task: asyncio.Task[None], slot: Slot) -> None:
        self._tasks.discard(task)
        if not self._free and not self._serving.quit.asked:
            asyncio.get_running_loop().add_reader(self._poll.fileno(), self._accept)
        self._free.append(slot)
        if not task.cancelled() and task.exception() is not None:
            _log.error("A connection failed.", exc_info=task.exception())

    async def _converse(self, connection: socket.socket, slot: Slot) -> None:
        request = None
        slot.begin(self._serving.patience.receiving_ns)
        # The peer may be gone or too slow; then there is nobody left to tell.
        try:
            with connection, contextlib.suppress(OSError):
                request = await self._arrived(connection)
                if request is not None:
                    slot.extend(self._loaded.timeout_ms * 1_000_000)
                    await self._answer(connection, request, slot)
        finally:
            slot.end(served=request is not None)

    async def _arrived(self, connection: socket.socket) -> Request | None:
        """Return the request; None when it was refused or nobody waits for its answer."""
        reader = RequestReader(self._loaded.entrance.body_limit)
        try:
            request = await self._receive(connection, reader)
            self._loaded.entrance.check(request)
        except Problem as problem:
            head, answer = refusal(problem, reader.request)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(self._serving.patience.send):
                await loop.sock_sendall(connection, head + answer.body)
            # Read on a little, or the peer's unread bytes would reset its answer.
            connection.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(0.5):
                while await loop.sock_recv(connection, READ):
                    pass
            return None
        return None if request is None or hung_up(connection.fileno()) else request

    async def _receive(self, connection: socket.socket, reader: RequestReader) -> Request | None:
        loop = asyncio.get_running_loop()
        patience = self._serving.patience
        start = loop.time()
        while True:
            allowed = patience.head if reader.request is None else patience.body
            try:
                async with asyncio.timeout_at(start + allowed):
                    data = await loop.sock_recv(connection, READ)
            except TimeoutError:
                raise too_slow() from None
            if not data:
                return None
            request = reader.feed(data)
            if request is not None:
                return request
            if reader.wants_continue:
                reader.wants_continue = False
                connection.send(CONTINUE, socket.MSG_NOSIGNAL)

    async def _answer(self, connection: socket.socket, request: Request, slot: Slot) -> None:
        deadline = time.monotonic() + self._loaded.timeout_ms / 1000
        channel = Channel(connection, request, slot, self._serving.patience, deadline)
        current_request.set(request_id_of(request))
        try:
            if self._asgi is not None:
                await self._asgi.serve(channel)
                return
            answer = await self._handler.respond(request, deadline)
            if answer.stream is not None:
                await _stream(channel, answer)
                return
            head = head_of(answer)
        except BaseException as error:  # noqa: BLE001 - whatever the author's objects raise.
            if channel.started:
                _broken(error)
                return
            head, answer = refusal(error, request)
        await channel.answer(answer, head)


async def _stream(channel: Channel, answer: Answer) -> None:
    stream: Any = answer.stream
    if not hasattr(stream, "__anext__"):
        stream = _as_async(stream)
    try:
        # The first piece comes before the head: a failure until then is an answer of its own.
        first = await anext(stream, None)
        await channel.begin(answer)
        if first is not None and channel.request.method != "HEAD":
            await channel.piece(first)
            async for data in stream:
                await channel.piece(data)
        await channel.end()
    finally:
        await stream.aclose()


async def _as_async(stream: Any) -> Any:
    """A plain generator that an asynchronous handler returned."""
    with contextlib.closing(stream):
        for data in stream:
            yield data


def _broken(error: BaseException) -> None:
    """Log why an answer that had begun was cut off, unless its reader left or it is logged already."""
    if isinstance(error, Problem):
        report(error)
    elif not isinstance(error, (ConnectionError, TimeoutError)):
        failure(error, "The answer's stream broke off.")
