"""Turns what a handler returned into an answer. Pure, apart from advancing a generator once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from .answers import Answer
from .contract import Contract, encode_json, is_json
from .http1 import Request
from .problems import Problem, author_fault

__all__ = ["answer_of"]

_JSON = (("Content-Type", "application/json"),)
_EVENT_KEYS = frozenset(["data", "event", "id", "retry"])
_NO_CONTENT = 204


def answer_of(value: Any, contract: Contract, request: Request, streaming: bool) -> Answer:
    """Return the answer for a handler's value. Raises Problem."""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    if type(value) is tuple:
        status, headers, value = _unpacked(value)
    elif value is None and _is_event(request):
        status = _NO_CONTENT
    if isinstance(value, (GeneratorType, AsyncGeneratorType)):
        if not streaming:
            raise author_fault(
                "handler_failed",
                "The handler returned a generator, but this version is not declared streaming.",
            )
        return _streamed(value, status, headers, request)
    if value is None and 200 <= status <= 299 and _is_event(request):
        # A broker takes an empty answer or an event, and repeats what it gave for anything else.
        return Answer(status, headers)
    content_type = next((text for name, text in headers if name.lower() == "content-type"), "")
    if isinstance(value, (bytes, bytearray, memoryview)):
        kind = () if content_type else (("Content-Type", "application/octet-stream"),)
        return Answer(status, (*headers, *kind), bytes(value))
    if isinstance(value, str) and content_type and not is_json(content_type):
        return Answer(status, headers, _encoded(value))
    # The contract describes the function's result; an author's own error answer has its own shape.
    body = contract.write(value) if 200 <= status <= 299 else encode_json(value)
    if status in (204, 304):
        return Answer(status, headers)
    return Answer(status, headers if content_type else (*headers, *_JSON), body)


def _is_event(request: Request) -> bool:
    """Say whether a CloudEvent was given, in headers of its own or as the whole body."""
    fields = request.fields
    kind = fields.get("content-type", "")
    return "ce-specversion" in fields or kind.strip().lower().startswith("application/cloudevents")


def _unpacked(value: tuple[Any, ...]) -> tuple[int, tuple[tuple[str, str], ...], Any]:
    if len(value) != 3 or isinstance(value[0], bool) or not isinstance(value[0], int):
        raise author_fault(
            "handler_failed",
            "A tuple means (status, headers, body): return a list for a JSON array.",
        )
    status, headers, body = value
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    try:
        return int(status), tuple((name, text) for name, text in pairs), body
    except (TypeError, ValueError):
        raise author_fault(
            "handler_failed", "The headers of an answer are a dict, or a list of (name, value) pairs."
        ) from None


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise author_fault("output_invalid", "The answer's text holds half a surrogate pair.") from None


def _streamed(value: Any, status: int, headers: tuple[tuple[str, str], ...], request: Request) -> Answer:
    declared = next((text for name, text in headers if name.lower() == "content-type"), "")
    wanted = declared or request.fields.get("accept", "")
    if "text/event-stream" in wanted.lower():
        encode, kind = _event, "text/event-stream; charset=utf-8"
        headers = (*headers, ("Cache-Control", "no-cache"))
    else:
        encode, kind = _chunk, "application/octet-stream"
    if not declared:
        headers = (*headers, ("Content-Type", kind))
    if isinstance(value, AsyncGeneratorType):
        return Answer(status, headers, stream=_later(value, encode))
    return Answer(status, headers, stream=_now(value, encode))


def _now(values: Iterator[Any], encode: Any) -> Iterator[bytes]:
    for value in values:
        yield encode(value)


async def _later(values: AsyncIterator[Any], encode: Any) -> AsyncIterator[bytes]:
    async for value in values:
        yield encode(value)


def _chunk(value: Any) -> bytes:
    """Bytes and text as they are, everything else as a line of JSON."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return _encoded(value)
    return encode_json(value) + b"\n"


def _event(value: Any) -> bytes:
    """Return one server-sent event: a dict with `data` is the whole event, all else its data."""
    lines = []
    if isinstance(value, dict) and "data" in value and value.keys() <= _EVENT_KEYS:
        keys = [key for key in ("event", "id", "retry") if key in value]
        lines += [f"{key}: {_single_line(value[key])}" for key in keys]
        value = value["data"]
    text = value if isinstance(value, str) else encode_json(value).decode()
    lines.extend(f"data: {line}" for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    return _encoded("\n".join(lines) + "\n\n")


def _single_line(value: Any) -> str:
    text = str(value)
    if "\n" in text or "\r" in text or "\0" in text:
        raise Problem(500, "output_invalid", "author", "A field of a server-sent event holds a line break.")
    return text
