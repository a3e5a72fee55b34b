"""The Builder port over `builders`: unpacked layers beside the blob folder, errors in our tree.

What a draft, a lock and a manifest are is the builders' business.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from functools import lru_cache

from builders import build as builders
from builders.errors import BuildError
from control_plane.adapters.build_errors import translated
from control_plane.adapters.embedded.host.interpreters import find_interpreter
from control_plane.domain.desired import Limits
from control_plane.domain.functions import Declaration, check_declaration
from control_plane.errors import Invalid, Unavailable
from control_plane.ports import Blobs, Built, Tried

__all__ = ["EmbeddedBuilder"]

_BUILD = (
    "import platform,sys;"
    "print('cpython-'+platform.python_version(),'-'.join(platform.python_build()).replace(' ','-'),"
    "platform.system().lower()+'-'+platform.machine(),sep='/')"
)


class EmbeddedBuilder:
    """Locks and freezes on this machine."""

    def __init__(
        self, blobs: Blobs, folders: builders.Folders, keep: Callable[[str], None] | None = None
    ) -> None:
        """`keep` is told each built image's digest, and makes what it consists of outlive this machine."""
        self._blobs, self._folders, self._keep = blobs, folders, keep

    def declaration(self, files: Mapping[str, bytes]) -> Declaration:
        """Read what the author declares."""
        with translated():
            return _declaration(builders.read_draft(files))

    def lock(self, files: Mapping[str, bytes], previous: str) -> str:
        """Resolve the dependencies; a previous lock that still fits is returned unchanged."""
        with translated():
            plan = builders.read_draft(files)
            known = builders.read_lock(previous.encode()) if previous else None
            if known is not None and _frozen(plan, known) is not None:
                return previous
            return builders.lock(plan, self._folders.cache, previous=known).content.decode()

    def packages(self, lock: str) -> Mapping[str, str]:
        """Return name -> version of what a lock pins; nothing for an empty one."""
        if not lock:
            return {}
        with translated():
            return {item.name: item.version for item in builders.read_lock(lock.encode()).packages}

    def build(self, files: Mapping[str, bytes], lock: str) -> Built:
        """Make manifest, layers, image and SBOM; repeating it costs little."""
        with translated():
            plan = builders.read_draft(files)
            read = builders.read_lock(lock.encode())
            frozen = builders.freeze(plan, read)
            built = builders.build(frozen, files, read, self._folders)
            if self._keep is not None:
                self._keep(built.image)
        return Built(
            manifest=frozen.manifest.decode(),
            digest=frozen.digest,
            declaration=_declaration(plan, f"python{read.python}"),
            layers=dict(built.layers),
            image=built.image,
            sbom=self._blobs.put(built.sbom),
            phases=tuple(built.timings_ms.items()),
        )

    def try_out(self, files: Mapping[str, bytes], lock: str) -> Tried | None:
        """Make the layers alone: no blob, image or bill of materials of what changes again soon."""
        if not lock:
            return None
        with translated():
            plan = builders.read_draft(files)
            read = builders.read_lock(lock.encode())
            frozen = _frozen(plan, read)
            if frozen is None:
                return None
            layers = builders.try_out(plan, read, self._folders)
        return Tried(frozen.digest, _declaration(plan, f"python{read.python}"), layers)

    def adopt(self, lock: str, digest: str, layer: bytes) -> None:
        """Take the dependencies' layer of a lock instead of making it."""
        with translated():
            builders.adopt(builders.read_lock(lock.encode()), self._folders, digest, layer)

    def base(self, runtime: str) -> str:
        """Return this machine's interpreter build for a runtime."""
        path = find_interpreter(runtime)
        if path is None:
            raise Invalid(
                f"This machine has no interpreter for {runtime}.",
                hint=f"Install {runtime}, or freeze the function for a runtime that is here.",
            )
        return _interpreter_build(path)


def _frozen(plan: builders.Plan, lock: builders.Lock) -> builders.Frozen | None:
    """Return what the draft freezes to; None when the lock does not fit it."""
    try:
        return builders.freeze(plan, lock)
    except BuildError:
        return None


def _declaration(plan: builders.Plan, runtime: str = "") -> Declaration:
    return check_declaration(
        Declaration(
            runtime=runtime or plan.runtime,
            kind=plan.kind,
            handler=plan.handler,
            description=plan.description,
            input_schema=plan.input_schema,
            output_schema=plan.output_schema,
            limits=Limits(**plan.limits),
            settings=tuple(plan.settings),
            secrets=tuple(plan.secrets),
            streaming=plan.streaming,
            public=plan.public,
            own_authentication=plan.own_authentication,
            unsandboxed_page=plan.unsandboxed_page,
            body_limit=plan.body_limit,
            cors_origins=tuple(plan.cors_origins),
        )
    )


@lru_cache(maxsize=16)
def _interpreter_build(path: str) -> str:
    try:
        done = subprocess.run(
            [path, "-I", "-S", "-c", _BUILD], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"The interpreter {path} does not run: {error}") from error
    return done.stdout.strip()
