"""The function's input and output: from bytes to a checked value, and back.

Says which error belongs to whom. How an answer is put on the wire is in
`answers`.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any

from .http1 import Request
from .problems import Problem, author_fault, caller_fault
from .validation import Schema

__all__ = ["NESTING_LIMIT", "Contract", "encode_json", "is_json"]

# The validator and many handlers recurse: deeper input could overflow the C stack.
NESTING_LIMIT = 500
# Also matches an unfinished string, or each quote within it would be tried anew.
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL)
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}
_JSON_TYPE = re.compile(
    r"application/(?:json|[!#$&^_.+a-z0-9-]+\+json)[ \t]*(?:;.*)?", re.IGNORECASE
).fullmatch


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def is_json(content_type: str) -> bool:
    """Say whether a Content-Type means JSON."""
    return content_type == "application/json" or _JSON_TYPE(content_type) is not None


def encode_json(value: Any) -> bytes:
    """Return the value as JSON. Raises Problem `output_invalid`."""
    try:
        return _encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise author_fault("output_invalid", f"The handler's answer is not JSON: {error}"[:400]) from None


class Contract:
    """The input and output schema of one version; either may be missing."""

    __slots__ = ("_input", "_output")

    def __init__(self, input_schema: Schema | None, output_schema: Schema | None) -> None:
        self._input = input_schema
        self._output = output_schema

    def read(self, request: Request) -> Any:
        """Return what the handler gets: a JSON value, bytes, or None. Raises Problem."""
        body = request.body
        content_type = request.fields.get("content-type", "")
        value: Any
        if is_json(content_type):
            value = _parse(body)
        elif not body and not content_type:
            value = None
        elif self._input is not None:
            raise caller_fault(
                415,
                "unsupported_media_type",
                "This function takes JSON: send Content-Type application/json.",
            )
        else:
            return body
        if self._input is not None and not _accepts(self._input, value):
            errors = self._input.errors(value)
            raise Problem(
                422, "input_invalid", "caller", "The input breaks the function's contract.", errors=errors
            )
        return value

    def write(self, value: Any) -> bytes:
        """Return a handler's JSON answer, checked. Raises Problem."""
        # Encoding comes first: it refuses the cycles and depths that the validator cannot survive.
        body = encode_json(value)
        schema = self._output
        if schema is not None:
            if _too_deep(body.decode()):
                raise author_fault("output_invalid", "The handler's answer is nested too deeply.")
            if not _accepts(schema, value):
                _refuse_output(schema, body)
        return body


def _accepts(schema: Schema, value: Any) -> bool:
    try:
        return bool(schema.accepts(value))
    except (ValueError, TypeError, OverflowError):
        return False


def _refuse_output(schema: Schema, body: bytes) -> None:
    """Raise the problem, unless only Python's view of the value differed (keys that are numbers)."""
    errors = schema.errors(json.loads(body))
    if errors:
        text = "The handler's answer breaks the function's contract."
        raise Problem(500, "output_invalid", "author", text, errors=errors)


def _parse(body: bytes) -> Any:
    try:
        text = body.decode()
        if not _too_deep(text):
            return _decode(text)
    except UnicodeDecodeError:
        raise caller_fault(400, "bad_json", "The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        detail = f"The body is not JSON: {error.msg}, line {error.lineno}, column {error.colno}."
        raise caller_fault(400, "bad_json", detail) from None
    except ValueError as error:
        raise caller_fault(400, "bad_json", f"The body is not JSON: {error}."[:300]) from None
    raise caller_fault(400, "bad_json", f"The JSON is nested deeper than {NESTING_LIMIT} levels.")


def _too_deep(text: str) -> bool:
    """Say whether the document nests too deeply; nearly free for ordinary ones."""
    if text.count("[") + text.count("{") <= NESTING_LIMIT:
        return False
    steps = (_STEP[character] for character in _STRINGS.sub("", text) if character in _STEP)
    return max(accumulate(steps), default=0) > NESTING_LIMIT
