"""Turns frozen dataclasses into JSON and back by their type hints, and the column types built on that.

Only shapes are known here: no table and no rule.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Final, TypeVar, get_args, get_origin

from sqlalchemy import Dialect, String, Text
from sqlalchemy.types import TypeDecorator

__all__ = ["Enumerated", "Json", "from_plain", "reader_of", "row_values", "to_plain"]

T = TypeVar("T")
# Longer texts are hardly ever the same, and would take memory for nothing.
_SHARED_LENGTH: Final = 1_000


def to_plain(value: Any) -> Any:
    """Return the value as dicts, lists, strings, numbers and None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value


def from_plain(hint: Any, data: Any) -> Any:
    """Return what `to_plain` made it from. Fields that are not stored take their defaults."""
    read = reader_of(hint)
    return data if read is None or data is None else read(data)


def row_values(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields as column values; nested ones are the columns' business."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


@cache
def reader_of(hint: Any) -> Callable[[Any], Any] | None:
    """Return what reads a value of this type that is not None; None for what is stored as it is.

    A list reads thousands of values of a few types, so each type is looked at once.
    """
    if hint is Any:
        return None
    if get_origin(hint) is not None:
        return _generic(get_origin(hint), get_args(hint))
    if is_dataclass(hint) and isinstance(hint, type):
        return _dataclass_reader(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint
    return None


def _generic(origin: Any, arguments: tuple[Any, ...]) -> Callable[[Any], Any] | None:
    if origin in {typing.Union, types.UnionType}:
        # Every union here is one type or None.
        return reader_of(next(part for part in arguments if part is not type(None)))
    if origin is tuple:
        return _tuple_reader(arguments)
    if issubclass(origin, Mapping):
        value = arguments[1]
        return None if reader_of(value) is None else _mapping_reader(value)
    raise TypeError(f"no value of {origin} can be read from JSON")


def _tuple_reader(parts: tuple[Any, ...]) -> Callable[[Any], Any]:
    if len(parts) != 2 or parts[1] is not Ellipsis:
        return lambda data: tuple(from_plain(part, item) for part, item in zip(parts, data, strict=True))
    part = parts[0]
    if reader_of(part) is None:
        return tuple
    return lambda data: tuple(from_plain(part, item) for item in data)


def _mapping_reader(hint: Any) -> Callable[[Any], Any]:
    return lambda data: {name: from_plain(hint, value) for name, value in data.items()}


def _dataclass_reader(kind: type) -> Callable[[Any], Any]:
    def read(data: Any) -> Any:
        hints = _hints(kind)
        return kind(**{name: from_plain(hints[name], value) for name, value in data.items() if name in hints})

    return read


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


# Lists hold the same few policies, places and settings in every row.
@lru_cache(maxsize=1_024)
def _read(hint: Any, text: str) -> Any:
    return from_plain(hint, json.loads(text))


class Json(TypeDecorator[Any]):
    """A text column that holds a value of the given type hint as JSON, the same on both dialects."""

    impl = Text
    cache_ok = True

    def __init__(self, hint: Any = Any) -> None:
        super().__init__()
        self.hint = hint
        # What nobody changes may be the same object wherever the same text is read.
        unchanging = {tuple, typing.Union, types.UnionType}
        self._shared = is_dataclass(hint) or get_origin(hint) in unchanging or hint == Mapping[str, str]

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Return the text to store."""
        return json.dumps(to_plain(value), ensure_ascii=False, separators=(",", ":"))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return the value that was stored."""
        if self._shared and len(value) <= _SHARED_LENGTH:
            return _read(self.hint, value)
        return from_plain(self.hint, json.loads(value))


class Enumerated(TypeDecorator[Any]):
    """A short text column that holds a StrEnum."""

    impl = String
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Return the text to store."""
        return None if value is None else str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return the member; a text that no member has is a damaged row and raises ValueError."""
        return None if value is None else self.kind(value)
