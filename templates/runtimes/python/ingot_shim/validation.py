"""Checks values against JSON Schema 2020-12 with a private copy of the validator.

The compiled validator is loaded from a folder by its file, never through
`sys.path`, and never stays in `sys.modules`: the author's own
`import jsonschema_rs` finds what the author brought, or nothing.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

__all__ = ["BadSchema", "Schema", "preload"]

_ERRORS = 20
_MESSAGE = 300
# Stands in messages where the value would: they may reach another party or a log.
_MASK = "the value"


class BadSchema(ValueError):
    """Not a JSON Schema of draft 2020-12, or it refers to another document."""


class _Violation(ValueError):
    """What the validator raises and yields; it looks its class up by name each time."""

    def __init__(self, message: str, *details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.instance_path: list[str | int] = details[2]
        self.kind = details[4]


_NAME = "jsonschema_rs"
_stand_in = types.ModuleType(_NAME)
_stand_in.ValidationError = _Violation  # type: ignore[attr-defined]
_stand_in.ReferencingError = BadSchema  # type: ignore[attr-defined]
_lock = threading.Lock()
_loaded: types.ModuleType | None = None


@contextmanager
def _findable() -> Iterator[None]:
    """Let the validator find its error classes by name, for the time of one call."""
    with _lock:
        before = {name: sys.modules.pop(name) for name in _ours()}
        sys.modules[_NAME] = _stand_in
        try:
            yield
        finally:
            for name in _ours():
                del sys.modules[name]
            sys.modules.update(before)


def _ours() -> list[str]:
    return [name for name in sys.modules if name == _NAME or name.startswith(f"{_NAME}.")]


def preload(folder: str) -> types.ModuleType:
    """Load the validator from its folder, once. Raises ImportError."""
    global _loaded  # noqa: PLW0603 - a compiled module exists once in a process.
    if _loaded is None:
        path = Path(folder) / _NAME / f"{_NAME}.abi3.so"
        loader = importlib.machinery.ExtensionFileLoader(_NAME, str(path))
        spec = importlib.util.spec_from_file_location(_NAME, path, loader=loader)
        if spec is None:
            raise ImportError(f"the schema validator is not at {path}")
        with _findable():
            module = importlib.util.module_from_spec(spec)
            loader.exec_module(module)
        _loaded = module
    return _loaded


class Schema:
    """One compiled schema."""

    def __init__(self, folder: str, document: Any) -> None:
        make = preload(folder).Draft202012Validator
        with _findable():
            try:
                # Offline: a reference to another document is refused, never fetched.
                self._validator = make(document, offline=True, validate_formats=True, mask=_MASK)
            except (ValueError, TypeError) as error:
                text = str(error).partition("\n")[0]
                raise BadSchema(text[:_MESSAGE]) from None
        self.accepts = self._validator.is_valid

    def errors(self, value: Any) -> tuple[tuple[str, str], ...]:
        """Return (JSON pointer, message) of each field at fault; empty when all is well."""
        try:
            if self.accepts(value):
                return ()
            with _findable():
                violations = list(islice(self._validator.iter_errors(value), _ERRORS))
        except (ValueError, TypeError, OverflowError):
            return (("", "holds a value that JSON cannot, such as half a surrogate pair"),)
        found = [pair for violation in violations for pair in _located(violation)]
        return tuple(found[:_ERRORS])


def _located(violation: _Violation) -> Iterator[tuple[str, str]]:
    """Point at the field itself, also where the rule stands on the object around it."""
    path = violation.instance_path
    missing = getattr(violation.kind, "property", None)
    unexpected = getattr(violation.kind, "unexpected", None)
    if isinstance(missing, str):
        yield _pointer([*path, missing]), "is required"
    elif isinstance(unexpected, list):
        for name in unexpected:
            yield _pointer([*path, name]), "is not expected here"
    else:
        yield _pointer(path), violation.message[:_MESSAGE]


def _pointer(path: list[str | int]) -> str:
    return "".join("/" + str(part)[:200].replace("~", "~0").replace("/", "~1") for part in path)
