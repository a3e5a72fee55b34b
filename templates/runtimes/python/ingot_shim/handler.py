"""Calls `execute(input, context)` and turns its failures into problems."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .answers import Answer
from .context import Context
from .http1 import Request
from .problems import Problem, author_fault
from .results import answer_of

if TYPE_CHECKING:
    from .load import Loaded

__all__ = ["AsyncHandler", "Handler", "failure", "is_async", "report", "run_hook"]

_log = logging.getLogger("function")


def failure(error: BaseException, what: str = "The handler raised an exception.") -> Problem:
    """Log the author's traceback and return what the caller may know of it."""
    _log.error("%s", what, exc_info=error)
    problem = author_fault("handler_failed", f"{what} The function's log has the details.")
    problem.logged = True
    return problem


def report(problem: Problem) -> None:
    """Log a problem that is the author's to mend, once; its messages hold no values."""
    if problem.fault == "author" and not problem.logged:
        problem.logged = True
        _log.error("%s", problem.detail, extra={"code": problem.code, "errors": list(problem.errors)})


def is_async(target: Any) -> bool:
    """Say whether calling the target needs an event loop."""
    call = getattr(target, "__call__", None)  # noqa: B004 - the method itself is looked at.
    return any(
        inspect.iscoroutinefunction(item) or inspect.isasyncgenfunction(item) for item in (target, call)
    )


class Handler:
    """A plain function, called in the thread that accepted the request."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._call: Callable[[Any, Context], Any] = loaded.target

    def respond(self, request: Request, deadline: float) -> Answer:
        """Return the answer. Raises Problem."""
        loaded = self._loaded
        value = loaded.contract.read(request)
        try:
            result = self._call(value, Context(loaded, request, deadline))
        except BaseException as error:  # noqa: BLE001 - SystemExit must not end the instance either.
            raise failure(error) from None
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise author_fault("handler_failed", "The handler returned an awaitable: declare it `async def`.")
        return answer_of(result, loaded.contract, request, loaded.streaming)


class AsyncHandler:
    """A coroutine function, awaited on the instance's event loop."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._call: Callable[[Any, Context], Any] = loaded.target

    async def respond(self, request: Request, deadline: float) -> Answer:
        """Return the answer. Raises Problem."""
        loaded = self._loaded
        value = loaded.contract.read(request)
        try:
            result = self._call(value, Context(loaded, request, deadline))
            if inspect.isawaitable(result):
                result = await result
        except BaseException as error:  # noqa: BLE001 - as above; nothing here is cancelled by us.
            raise failure(error) from None
        return answer_of(result, loaded.contract, request, loaded.streaming)


def run_hook(loaded: Loaded, name: str, deadline: float) -> Any:
    """Call the module's `on_start` or `on_stop` if it has one; the result may be awaitable."""
    hook = getattr(loaded.module, name, None)
    if not callable(hook):
        return None
    return hook(Context(loaded, None, deadline))
