"""Finds a tree's kind and handler, and checks what the manifest claims about them.

Pure, and by reading lines only: parsing hostile source with `ast` can
exhaust the C stack of the process that does it, and would tie the answer to
the Python that runs here. User code is never imported or compiled here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from builders.errors import BuildError
from builders.manifest import FunctionManifest

__all__ = ["find_handler"]

# Where an entry point is looked for, best first.
_MODULES = ("main", "handler", "function", "app", "asgi", "wsgi")
_ASSIGNED = r"^(\w+)\s*(?::[^=]+)?=\s*(?:\w+\.)*"
# (what a line looks like, the kind it shows); the group is the attribute.
_SIGNS = (
    (re.compile(r"^(?:async\s+)?def\s+(execute)\s*\("), "handler"),
    (re.compile(r"^async\s+def\s+(\w+)\s*\(\s*scope\b.*?,\s*receive\b.*?,\s*send\b"), "asgi"),
    (re.compile(r"^def\s+(\w+)\s*\(\s*environ\b.*?,\s*start_response\b"), "wsgi"),
    (re.compile(rf"{_ASSIGNED}(?:FastAPI|Starlette|Quart|Litestar|get_asgi_application)\("),
     "asgi"),
    (re.compile(rf"{_ASSIGNED}(?:Flask|APIFlask|Bottle|get_wsgi_application)\("), "wsgi"),
)  # fmt: skip


def find_handler(files: Mapping[str, bytes], manifest: FunctionManifest) -> tuple[str, str]:
    """Return (kind, "module:attribute"): what the manifest says, else what the code shows."""
    if manifest.handler:
        source = _module_source(files, manifest.handler)
        kind = manifest.kind or _kind_of(source, manifest.handler.split(":")[1])
        return kind, manifest.handler
    for module in _MODULES:
        path = _module_path(files, module)
        if path:
            for kind, attribute in _entry_points(files[path]):
                if manifest.kind in ("", kind):
                    return kind, f"{module}:{attribute}"
    wanted = manifest.kind or "entry point"
    raise BuildError(
        "manifest_invalid",
        f"No {wanted} was found in {', '.join(f'{module}.py' for module in _MODULES)}.",
        field="ingot.toml:handler",
        hint='Write `def execute(input, context)` in main.py, or name yours: handler = "module:attribute".',
    )


def _module_path(files: Mapping[str, bytes], module: str) -> str:
    base = module.replace(".", "/")
    return next((path for path in (f"{base}.py", f"{base}/__init__.py") if path in files), "")


def _module_source(files: Mapping[str, bytes], handler: str) -> bytes:
    module, attribute = handler.split(":")
    path = _module_path(files, module)
    if not path:
        raise BuildError(
            "manifest_invalid",
            f"ingot.toml: `handler` names the module {module}, but the draft has no "
            f"{module.replace('.', '/')}.py.",
            field="ingot.toml:handler",
            hint="Name a module of the draft, as in main:execute.",
        )
    # A star import can bring any name; otherwise the name must at least occur.
    if not re.search(rb"\b" + attribute.encode() + rb"\b|import\s+\*", files[path]):
        raise BuildError(
            "manifest_invalid",
            f"ingot.toml: `handler` names {attribute}, but {path} does not mention it.",
            field="ingot.toml:handler",
            hint=f"Define {attribute} in {path}, or name what is defined there.",
        )
    return files[path]


def _kind_of(source: bytes, attribute: str) -> str:
    return next((kind for kind, name in _entry_points(source) if name == attribute), "handler")


def _entry_points(source: bytes) -> Iterator[tuple[str, str]]:
    text = source.decode("utf-8", errors="replace")
    for pattern, kind in _SIGNS:
        for line in text.splitlines():
            match = pattern.match(line[:500])
            if match:
                yield kind, match[1]
