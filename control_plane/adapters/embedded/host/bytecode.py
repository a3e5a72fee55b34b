"""Bytecode of layers: asked for after a first use, compiled one layer at a time in a process of its own.

Bytecode is a cache of this machine, keyed by layer and interpreter. It is
never written into a layer, and user code sees it read-only.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import signal
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from control_plane.adapters.embedded.host.interpreters import find_interpreter, running_runtime
from control_plane.adapters.embedded.host.loop import Loop
from control_plane.domain.desired import HostTarget

__all__ = ["Bytecode"]

_log = logging.getLogger(__name__)
_ROOT = Path(__file__).resolve().parents[4]
# What runs in the other process: `builders` confines the compiler and bounds its time.
_PROGRAM = (
    "import pathlib, sys; from builders.bytecode import compile_layer; "
    "compile_layer(*map(pathlib.Path, sys.argv[1:]))"
)


class Bytecode:
    """Knows where the bytecode of a layer lies, and has it made."""

    def __init__(self, loop: Loop, layers: Path, cache: Path, *, usable: bool) -> None:
        self._loop, self._layers, self._cache = loop, layers, cache
        # Only a sandbox with mounts can show bytecode at the paths where Python looks.
        self._usable = usable
        self._queue: OrderedDict[str, str] = OrderedDict()
        self._asked: set[str] = set()
        # The compiling process, which leads a session of its own; 0 for none.
        self._running = 0
        tag = f"{sys.implementation.cache_tag}-{importlib.util.MAGIC_NUMBER.hex()}"
        # Called when a layer's bytecode is there.
        self.on_compiled: list[Callable[[], None]] = []
        # Other interpreters tell their own tag when their template is ready.
        self.tags = {running_runtime(): tag}

    def folders(self, target: HostTarget) -> dict[str, str]:
        """Return sandbox layer name -> folder of the bytecode that is there."""
        tag = self.tags.get(target.runtime)
        if not self._usable or tag is None:
            return {}
        found = {role: self._cache / tag / digest[7:] for role, digest in target.layers.items()}
        return {f"bytecode/{role}": str(folder) for role, folder in found.items() if folder.is_dir()}

    def complete(self, target: HostTarget) -> bool:
        """Say whether every layer's bytecode is there."""
        return len(self.folders(target)) == len(target.layers)

    def want(self, target: HostTarget) -> None:
        """Have what is missing compiled, in the background, once."""
        interpreter = find_interpreter(target.runtime)
        if not self._usable or interpreter is None or target.runtime not in self.tags:
            return
        present = self.folders(target)
        for role, digest in target.layers.items():
            key = f"{target.runtime} {digest}"
            if f"bytecode/{role}" not in present and key not in self._asked:
                self._asked.add(key)
                self._queue[digest[7:]] = interpreter
        self._next()

    def _next(self) -> None:
        if self._running or not self._queue:
            return
        layer, interpreter = self._queue.popitem(last=False)
        arguments = [str(self._layers / layer), interpreter, str(self._cache)]
        environment = {"PYTHONPATH": str(_ROOT), "PATH": os.environ.get("PATH", os.defpath)}
        try:
            pid = os.posix_spawn(
                sys.executable, [sys.executable, "-c", _PROGRAM, *arguments], environment, setsid=True
            )
            descriptor = os.pidfd_open(pid)
        except OSError as error:
            _log.warning("the bytecode of layer %s is not compiled: %s", layer, error)
            return
        self._running = pid
        self._loop.watch(descriptor, lambda _events: self._ended(descriptor))

    def _ended(self, descriptor: int) -> None:
        self._loop.forget(descriptor)
        os.close(descriptor)
        self._running = 0
        for callback in self.on_compiled:
            callback()
        self._next()

    @property
    def busy(self) -> bool:
        """Say whether a layer is being compiled or waits to be."""
        return bool(self._running or self._queue)

    def stop(self) -> None:
        """Compile nothing more and end what compiles now; the next host starts over."""
        self._queue.clear()
        self._usable = False
        if self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._running, signal.SIGKILL)
