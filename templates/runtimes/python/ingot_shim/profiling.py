"""Times the imports that loading a handler causes, one row for each module.

Own time excludes the modules imported within; cumulative time includes them
and the search for the file. Only modules imported for the first time count.
"""

from __future__ import annotations

import importlib.abc
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["ImportProfile"]

_ROWS = 100


class _TimedLoader(importlib.abc.Loader):
    """Stands before the real loader for one import, then steps aside."""

    def __init__(self, profile: ImportProfile, real: Any) -> None:
        self._profile = profile
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        spec.loader = self._real
        with self._profile.timed(spec.name):
            module: ModuleType | None = self._real.create_module(spec)
        spec.loader = self
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The module must see its own loader: resources are found through it.
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._real
        module.__loader__ = self._real
        with self._profile.timed(module.__name__):
            self._real.exec_module(module)


class ImportProfile(importlib.abc.MetaPathFinder):
    """A finder that goes first, asks the others and times what they load."""

    def __init__(self) -> None:
        self._times: dict[str, list[int]] = {}
        self._nested = [0]

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Time every import within."""
        sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            sys.meta_path.remove(self)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time within to a module, less that of modules imported within."""
        self._nested.append(0)
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            spent = time.perf_counter_ns() - start
            inner = self._nested.pop()
            self._nested[-1] += spent
            row = self._times.setdefault(name, [0, 0])
            row[0] += spent - inner
            row[1] += spent

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find by the other finders and put the timed loader before theirs."""
        with self.timed(fullname):
            spec = self._search(fullname, path, target)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _TimedLoader(self, spec.loader)
        return spec

    def _search(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            if finder is not self:
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    return spec
        return None

    def rows(self) -> list[tuple[str, int, int]]:
        """Return (module, own µs, cumulative µs), slowest own time first."""
        rows = [(name, own // 1000, whole // 1000) for name, (own, whole) in self._times.items()]
        return sorted(rows, key=lambda row: (-row[1], row[0]))[:_ROWS]
