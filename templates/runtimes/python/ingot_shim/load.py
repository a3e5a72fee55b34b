"""Imports the author's handler: the one step between a template and an instance.

May run in a template before the fork, so nothing here makes threads, sockets
or event loops. Serving is in `serve`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import stat
import sys
import time
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import logger
from .contract import Contract
from .exchange import Entrance
from .validation import BadSchema, Schema

if TYPE_CHECKING:
    from .profiling import ImportProfile

__all__ = ["LoadFailed", "Loaded", "load"]

_BODY_LIMIT = 6_000_000
_THREAD_SETTINGS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class LoadFailed(Exception):
    """The author's code cannot be served. `code` is one of the contracts' codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message[-7_000:]


@dataclass(slots=True)
class Loaded:
    """The author's code, imported, and all that serving needs to know of it."""

    kind: str
    target: Any
    module: types.ModuleType
    contract: Contract
    function: str
    version: str
    streaming: bool
    concurrency: int
    timeout_ms: int
    entrance: Entrance
    settings: Mapping[str, str]
    secrets: Mapping[str, str]
    import_us: int = 0
    profile: list[tuple[str, int, int]] | None = None
    # What the import left behind, beyond what was there before it.
    threads: int = 0
    sockets: int = 0
    path_name: str = ""

    def bind(self, spec: Mapping[str, Any]) -> None:
        """Take the instance's settings and secrets, which a template does not have."""
        self.settings = types.MappingProxyType(dict(spec.get("settings") or {}))
        self.secrets = types.MappingProxyType(dict(spec.get("secrets") or {}))


def load(spec: Mapping[str, Any]) -> Loaded:
    """Import the handler that the spec names. Raises LoadFailed."""
    contract = _contract(spec)
    _prepare_import_space(spec)
    logger.configure()
    threads, sockets = _threads(), _sockets()
    profile = _profile() if spec.get("profile") else None
    start = time.perf_counter_ns()
    with profile.recording() if profile else contextlib.nullcontext():
        module, target = _find(str(spec["handler"]), spec.get("paths") or {})
    spent = time.perf_counter_ns() - start
    limits = spec.get("limits") or {}
    loaded = Loaded(
        kind=str(spec.get("kind", "handler")),
        target=target,
        module=module,
        contract=contract,
        function=str(spec.get("function", "")),
        version=str(spec.get("version", "")),
        streaming=bool(spec.get("streaming")),
        concurrency=max(1, int(limits.get("concurrency", 1))),
        timeout_ms=max(1, int(limits.get("timeout_ms", 30_000))),
        entrance=_entrance(spec),
        settings={},
        secrets={},
        import_us=spent // 1000,
        profile=profile.rows() if profile else None,
        threads=max(0, _threads() - threads),
        sockets=max(0, _sockets() - sockets),
        path_name=str(spec.get("function_name", "")),
    )
    loaded.bind(spec)
    return loaded


def _entrance(spec: Mapping[str, Any]) -> Entrance:
    limit, hop = int(spec.get("body_limit", _BODY_LIMIT)), spec.get("hop")
    if not hop:
        return Entrance(limit)
    # Where no token is asked for, a container does not load what checks it.
    from .hop import Guard

    try:
        return Entrance(limit, Guard(str(hop["function"]), [str(key) for key in hop["keys"]]))
    except ValueError as error:
        raise LoadFailed("import_failed", f"The gateway's public keys cannot be used: {error}.") from None


def _profile() -> ImportProfile:
    from .profiling import ImportProfile

    return ImportProfile()


def _contract(spec: Mapping[str, Any]) -> Contract:
    schemas: list[Schema | None] = []
    for name in ("input_schema", "output_schema"):
        document = spec.get(name)
        try:
            schemas.append(None if document is None else Schema(str(spec.get("validator", "")), document))
        except BadSchema as error:
            side = name.removesuffix("_schema")
            raise LoadFailed(
                "import_failed", f"The {side} schema is not a usable JSON Schema 2020-12: {error}"
            ) from None
    return Contract(*schemas)


def _prepare_import_space(spec: Mapping[str, Any]) -> None:
    """Leave the author's folders and the standard library, an empty `__main__` and environment."""
    paths = spec.get("paths") or {}
    first = [str(paths[role]) for role in ("function", "deps") if paths.get(role)]
    sys.path[:] = first + _standard_library()
    importlib.invalidate_caches()
    main = types.ModuleType("__main__")
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = main
    sys.argv[:] = ["function"]
    kept = {name: os.environ[name] for name in ("PATH", "TZ", "TMPDIR") if name in os.environ}
    os.environ.clear()
    os.environ.update(kept)
    os.environ.update({"HOME": kept.get("TMPDIR", "/tmp"), "LANG": "C.UTF-8", "PYTHONUTF8": "1"})  # noqa: S108
    # Libraries that start a thread pool when they are imported cannot be forked afterwards.
    os.environ.update(dict.fromkeys(_THREAD_SETTINGS, "1"))


def _standard_library() -> list[str]:
    root = Path(os.__file__).parent
    found = [str(root), str(root / "lib-dynload")]
    archives = [entry for entry in sys.path if entry.endswith(".zip") and Path(entry).parent == root.parent]
    return archives + found


def _find(handler: str, paths: Mapping[str, Any]) -> tuple[types.ModuleType, Any]:
    name, _, attribute = handler.partition(":")
    if not name or not attribute:
        raise LoadFailed("handler_not_found", f"The handler {handler!r} is not of the form module:attribute.")
    _refuse_standard_name(name, paths)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise LoadFailed(
                "handler_not_found", f"There is no module {error.name!r} for {handler!r}."
            ) from None
        raise LoadFailed("import_failed", logger.author_traceback(error)) from None
    except BaseException as error:  # noqa: BLE001 - SystemExit at import is a failed import as well.
        raise LoadFailed("import_failed", logger.author_traceback(error)) from None
    target: Any = module
    for part in attribute.split("."):
        try:
            target = getattr(target, part)
        except Exception:  # noqa: BLE001 - a module's __getattr__ is the author's code.
            raise LoadFailed(
                "handler_not_found", f"The module {name!r} has no attribute {attribute!r}."
            ) from None
    if not callable(target):
        raise LoadFailed("handler_not_found", f"{handler!r} is a {type(target).__name__}, not a callable.")
    return module, target


def _refuse_standard_name(name: str, paths: Mapping[str, Any]) -> None:
    first = name.partition(".")[0]
    if first in sys.stdlib_module_names or first == "ingot_shim":
        folder = paths.get("function", "the function's folder")
        raise LoadFailed(
            "handler_not_found",
            f"The module {first!r} in {folder} has the name of a module that Python itself uses: rename it.",
        )


def _threads() -> int:
    """Count all threads of the process, those of C libraries included."""
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - Path objects would cost more than the call.
    except OSError:
        threading = sys.modules.get("threading")
        return threading.active_count() if threading else 1


def _sockets() -> int:
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208
    except OSError:
        numbers = list(range(256))
    count = 0
    for number in numbers:
        with contextlib.suppress(OSError):
            count += stat.S_ISSOCK(os.fstat(number).st_mode)
    return count
