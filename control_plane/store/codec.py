"""Turns frozen dataclasses into JSON and back by their type hints, and the column types built on that.

Only shapes are known here: no table and no rule.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_origin

from sqlalchemy import Dialect, String, Text
from sqlalchemy.types import TypeDecorator

__all__ = ["Enumerated", "Json", "from_plain", "row_values", "to_plain"]

T = TypeVar("T")


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
    if hint is Any or data is None:
        return data
    if get_origin(hint) is not None:
        return _generic(get_origin(hint), get_args(hint), data)
    if is_dataclass(hint) and isinstance(hint, type):
        hints = _hints(hint)
        return hint(**{name: from_plain(hints[name], value) for name, value in data.items() if name in hints})
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(data)
    return data


def row_values(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields as column values; nested ones are the columns' business."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _generic(origin: Any, arguments: tuple[Any, ...], data: Any) -> Any:
    if origin in {typing.Union, types.UnionType}:
        # Every union here is one type or None.
        return from_plain(next(part for part in arguments if part is not type(None)), data)
    if origin is tuple:
        return _tuple(arguments, data)
    if issubclass(origin, Mapping):
        return {name: from_plain(arguments[1], value) for name, value in data.items()}
    raise TypeError(f"no value of {origin} can be read from JSON")


def _tuple(parts: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    if len(parts) == 2 and parts[1] is Ellipsis:
        return tuple(from_plain(parts[0], item) for item in data)
    return tuple(from_plain(part, item) for part, item in zip(parts, data, strict=True))


@lru_cache(maxsize=256)
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


class Json(TypeDecorator[Any]):
    """A text column that holds a value of the given type hint as JSON, the same on both dialects."""

    impl = Text
    cache_ok = True

    def __init__(self, hint: Any = Any) -> None:
        super().__init__()
        self.hint = hint

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Return the text to store."""
        return json.dumps(to_plain(value), ensure_ascii=False, separators=(",", ":"))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return the value that was stored."""
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
