"""The author's logger: the standard `logging` module, ending in the log pipe.

Also formats tracebacks, reduced to the author's frames. Nothing here decides
what a caller may see.
"""

from __future__ import annotations

import importlib
import logging
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from .logpipe import emit

__all__ = ["RequestLogger", "author_traceback", "configure", "request_logger"]

_MACHINERY = (str(Path(__file__).parent), str(importlib.__file__), "<frozen importlib", "<frozen runpy")
_TRACEBACK_LIMIT = 6_000
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_LEVELS = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "critical",
}


class _PipeHandler(logging.Handler):
    """Turns every log record into a frame; `extra` becomes its fields."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
            fields["logger"] = record.name
            if record.exc_info and record.exc_info[1] is not None:
                fields["traceback"] = author_traceback(record.exc_info[1])
            level = _LEVELS.get(record.levelno // 10 * 10, "info")
            emit(level, record.getMessage(), fields)
        except Exception:  # noqa: BLE001 - logging must never end a request.
            self.handleError(record)


class RequestLogger(logging.LoggerAdapter[logging.Logger]):
    """`context.logger`: keeps the `extra` of each call on every Python version."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Pass the message and its arguments on as they are."""
        return msg, kwargs


def configure() -> None:
    """Make the root logger end in the log pipe, at level INFO."""
    root = logging.getLogger()
    if not any(isinstance(handler, _PipeHandler) for handler in root.handlers):
        root.addHandler(_PipeHandler())
        root.setLevel(logging.INFO)


request_logger = RequestLogger(logging.getLogger("function"), {})


def author_traceback(error: BaseException) -> str:
    """Return the traceback without the frames of the shim and of the import machinery."""
    summary = traceback.TracebackException.from_exception(error)
    _trim(summary, 0)
    text = "".join(summary.format()).rstrip()
    if len(text) > _TRACEBACK_LIMIT:
        text = "… [cut]\n" + text[-_TRACEBACK_LIMIT:]
    return text


def _trim(summary: traceback.TracebackException, depth: int) -> None:
    summary.stack[:] = [frame for frame in summary.stack if not _is_ours(frame.filename)]
    if depth < 20:
        for linked in (summary.__cause__, summary.__context__):
            if linked is not None:
                _trim(linked, depth + 1)


def _is_ours(filename: str) -> bool:
    return filename.startswith(_MACHINERY)
