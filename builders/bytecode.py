"""The bytecode of a layer for one interpreter: a cache of the host, never part of a layer.

Kept at `<cache>/<cache tag>-<magic>/<hex of the layer>/`, as the layer's tree
with `.pyc` files. Mount or link it at `<sys.pycache_prefix>/<path at which the
layer is seen>` and Python finds it. It may be removed at any time.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from builders.confine import Confinement, Outcome, run_confined
from builders.errors import BuildError
from builders.storage import temporary_folder

__all__ = ["bytecode_folder", "compile_layer"]

_CHILD = Path(__file__).with_name("bytecode_child.py")
_TAG = (
    "import importlib.util, sys; print(f'{sys.implementation.cache_tag}-{importlib.util.MAGIC_NUMBER.hex()}')"
)
TIMEOUT_S = 300.0


def bytecode_folder(layer: Path, interpreter: Path, cache: Path) -> Path:
    """Return where the bytecode of an unpacked layer lies, whether or not it is there."""
    cache.mkdir(parents=True, exist_ok=True)
    outcome = _run(interpreter, ["-c", _TAG], cache, 10.0)
    return cache / outcome.output.strip() / layer.name


def compile_layer(layer: Path, interpreter: Path, cache: Path) -> Path:
    """Return the folder of a layer's bytecode, made if need be. Safe to do twice at once."""
    folder = bytecode_folder(layer, interpreter, cache)
    if folder.is_dir():
        return folder
    with temporary_folder(folder.parent) as temporary:
        content = temporary / "content"
        content.mkdir()
        _run(interpreter, [str(_CHILD), str(layer), str(content)], temporary, TIMEOUT_S)
        content.chmod(0o755)
        # Whoever was first has won; the contents are the same.
        with contextlib.suppress(OSError):
            content.rename(folder)
    return folder


def _run(interpreter: Path, arguments: list[str], writable: Path, timeout_s: float) -> Outcome:
    program = interpreter.resolve()
    outcome = run_confined(
        [str(program), "-I", "-S", *arguments], Confinement(writable=(writable,), timeout_s=timeout_s)
    )
    if outcome.status != 0:
        raise BuildError(
            "bytecode_failed",
            f"{program} could not compile a layer: it ended with status {outcome.status}.",
            hint="The function runs without the cache; its first import is slower.",
            log=tuple(outcome.output.splitlines()[-5:]),
        )
    return outcome
