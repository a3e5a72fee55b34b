"""How every process of Ingot logs: one JSON object for each record, with what is secret taken out.

Standard library only, as the function host uses it too. Nothing should hand a
secret to a log; this is the net below that.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["JsonLines", "json_line", "log_as_json", "redact"]

_GONE: Final = "***"
# Fields and parameters whose values are secret, whatever they look like.
_SECRET_NAMES: Final = (
    r"passwords?|passwd|passphrase|secrets?|tokens?|cookies?|set-cookie|authorization|credentials?"  # noqa: S105
    r"|api[_-]?keys?|x-api-key|private[_-]?key|csrf[_-]?token|x-csrf-token|signature"
)
_SECRET_FIELD: Final = re.compile(
    rf"(?:[a-z]+[_-])*(?:{_SECRET_NAMES})(?:[_-](?:text|value|hash))?", re.IGNORECASE
)
_PATTERNS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    # Our own keys, tokens, sessions and links: the public id may stay, as it is what lists show.
    (
        re.compile(r"\b(ing[a-z]*(?:_[a-z]+)?_[A-Za-z0-9]{4,16})_[A-Za-z0-9]{30,}_[A-Za-z0-9]{6}\b"),
        rf"\1_{_GONE}",
    ),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=:-]{4,}", re.IGNORECASE), rf"\1 {_GONE}"),
    (re.compile(r"(ingot_session_\w+=)[^;\s\"']+"), rf"\1{_GONE}"),
    # The key in a WebSocket's subprotocol.
    (re.compile(r"(ingot\.key\.)[A-Za-z0-9._~-]+"), rf"\1{_GONE}"),
    # The user and password of a URL.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@\"']+@"), rf"\1{_GONE}@"),
    # name=value, name: value and "name": "value"
    (
        re.compile(
            rf"(\b(?:[a-z]+[_-])*(?:{_SECRET_NAMES})[\"']?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s,;&\"'{{}}()]+)",
            re.IGNORECASE,
        ),
        rf"\1{_GONE}",
    ),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        _GONE,
    ),
)
# A longer value is a mistake; a log must not be filled by one.
_LONGEST: Final = 16_000


def redact(value: Any, name: str = "") -> Any:
    """Return a value as it may be logged; under a secret's name nothing of it stays."""
    if name and _SECRET_FIELD.fullmatch(name):
        return _GONE if value else value
    if isinstance(value, str):
        return _redacted(value)
    if isinstance(value, Mapping):
        return {str(key): redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _redacted(str(value))


def json_line(level: str, message: str, fields: Mapping[str, Any]) -> str:
    """Return one line, with the time of now."""
    line = {"ts": time.time_ns() // 1_000_000, "level": level, "message": message, **fields}
    return json.dumps({name: redact(value, name) for name, value in line.items()})


class JsonLines(logging.Formatter):
    """Formats the standard library's records, those of gunicorn and of the host included."""

    def __init__(self, role: str = "") -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback becomes a field."""
        line: dict[str, Any] = {
            "ts": int(record.created * 1000),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if self._role:
            line["role"] = self._role
        if request_id := getattr(record, "request_id", ""):
            line["request_id"] = redact(request_id)
        if record.exc_info:
            line["error"] = redact(self.formatException(record.exc_info))
        return json.dumps(line)


def log_as_json(role: str) -> None:
    """Make the standard library's logging write such lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(role))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _redacted(text: str) -> str:
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
