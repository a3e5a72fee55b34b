"""Functions, what an author declares about them, and their drafts.

A draft is the editable state: files and lock, with a revision that every
edit raises. Freezing one into a version is in `versions`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from control_plane.domain.desired import Limits
from control_plane.errors import Invalid, NotFound, PreconditionFailed, PreconditionRequired, TooLarge

__all__ = [
    "MAX_FILES",
    "MAX_FILE_BYTES",
    "MAX_TOTAL_BYTES",
    "Declaration",
    "Draft",
    "DraftFile",
    "Edit",
    "Function",
    "check_declaration",
    "check_path",
]

MAX_FILES: Final = 2_000
MAX_FILE_BYTES: Final = 10_000_000
MAX_TOTAL_BYTES: Final = 50_000_000

_RUNTIME: Final = re.compile(r"python3\.\d{1,2}")
_HANDLER: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_VALUE_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_KINDS: Final = ("handler", "asgi", "wsgi")


@dataclass(frozen=True, slots=True)
class Declaration:
    """All that an author says about a function beside its files; part of the version's digest."""

    # e.g. "python3.11"; empty means: what the machine has, decided at the first lock
    runtime: str = ""
    # "handler", "asgi" or "wsgi"
    kind: str = "handler"
    # "module:attribute" inside the source
    handler: str = "function:execute"
    description: str = ""
    # JSON Schema 2020-12; None accepts and returns anything
    input_schema: Any = None
    output_schema: Any = None
    limits: Limits = field(default_factory=Limits)
    # Names that a release must give values to.
    settings: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    # May answer by SSE, chunks or WebSocket.
    streaming: bool = False
    # Callable without a key.
    public: bool = False
    # Checks `Authorization` itself.
    own_authentication: bool = False
    # Asks for no `Content-Security-Policy: sandbox`.
    unsandboxed_page: bool = False
    body_limit: int = 6_000_000
    cors_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    """The named thing that is called at `/{organization}/{name}`."""

    id: str
    organization: str
    project: str
    name: str
    title: str
    created_by: str
    created_ms: int
    # Number of the newest version, 0 before the first.
    latest: int = 0
    # Set when taken down; its release then receives no calls.
    removed_ms: int = 0
    description: str = ""
    # For people to find and group functions by; nothing is decided by them.
    labels: Mapping[str, str] = field(default_factory=dict)
    # Grows with each change of title, description or labels.
    revision: int = 1
    # The newest edit of the draft, freeze, or change of the function itself.
    updated_ms: int = 0
    # Of the newest version; empty before the first.
    runtime: str = ""

    @property
    def etag(self) -> str:
        """The strong validator that If-Match names."""
        return f"f{self.revision}"


@dataclass(frozen=True, slots=True)
class DraftFile:
    """One file: its bytes are a blob."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Draft:
    """The editable state of a function."""

    function: str
    organization: str
    project: str
    revision: int
    # `ingot.toml` among them holds the declaration.
    files: tuple[DraftFile, ...]
    # The resolver's output, made once and reviewed; empty until locked.
    lock: str
    updated_by: str
    updated_ms: int

    @property
    def etag(self) -> str:
        """The strong validator that If-Match names."""
        return f"d{self.revision}"

    def expect(self, if_match: str) -> None:
        """Refuse an edit that was made against another revision."""
        if not if_match:
            raise PreconditionRequired(
                "Changing a draft needs If-Match.", hint=f'Send If-Match: "{self.etag}".'
            )
        if if_match.strip('W/"') != self.etag:
            raise PreconditionFailed(
                f"The draft has changed: it is {self.etag}, not {if_match[:40]}.",
                hint="Get the draft again, repeat your edit on it, send its new ETag.",
            )

    def with_file(self, file: DraftFile) -> Draft:
        """Return the draft with one file added or replaced, sorted by path."""
        others = [known for known in self.files if known.path != file.path]
        return self.with_files((*others, file))

    def with_renamed(self, path: str, to: str) -> Draft:
        """Return the draft with one file under another path; none is overwritten."""
        file = next((known for known in self.files if known.path == path), None)
        if file is None:
            raise _no_file(path)
        if any(known.path == to for known in self.files):
            raise Invalid(f"The draft has a file “{to[:200]}” already.", field="to", hint="Delete it first.")
        return self.without_file(path).with_file(replace(file, path=to))

    def without_file(self, path: str) -> Draft:
        """Return the draft without the file; unknown paths are refused."""
        if all(known.path != path for known in self.files):
            raise _no_file(path)
        return self.with_files(tuple(known for known in self.files if known.path != path))

    def with_files(self, files: tuple[DraftFile, ...]) -> Draft:
        """Return the draft with exactly these files; the limits hold for all of them together."""
        for file in files:
            check_path(file.path)
            if file.size > MAX_FILE_BYTES:
                raise TooLarge(
                    f"{file.path} has {file.size:,} bytes; {MAX_FILE_BYTES:,} is the most.", field="path"
                )
        _check_tree(files)
        return replace(self, files=tuple(sorted(files, key=lambda file: file.path)))


@dataclass(frozen=True, slots=True)
class Edit:
    """Who changed a draft when: four eyes are counted over these."""

    function: str
    organization: str
    revision: int
    user: str
    email: str
    at_ms: int
    what: str


def _no_file(path: str) -> NotFound:
    return NotFound(
        f"The draft has no file “{path[:200]}”.",
        field="path",
        hint="List the draft's files: paths are exact.",
    )


def check_path(path: str) -> str:
    """Return `path` when it names a plain file inside the draft."""
    parts = path.split("/")
    bad = (
        not 1 <= len(path) <= 300
        or any(part in {"", ".", ".."} for part in parts)
        or "\\" in path
        or any(ord(character) < 32 or ord(character) == 127 for character in path)
        or not path.isprintable()
    )
    if bad:
        raise Invalid(
            f"“{path[:200]}” is not a usable path.",
            field="path",
            hint="Use a relative path with / between folders, no “.” or “..”, at most 300 characters.",
        )
    return path


def _check_tree(files: tuple[DraftFile, ...]) -> None:
    if len(files) > MAX_FILES:
        raise TooLarge(f"The draft has {len(files):,} files; {MAX_FILES:,} is the most.")
    total = sum(file.size for file in files)
    if total > MAX_TOTAL_BYTES:
        raise TooLarge(f"The draft has {total:,} bytes in all; {MAX_TOTAL_BYTES:,} is the most.")
    paths = {file.path for file in files}
    if len(paths) != len(files):
        raise Invalid("Two files have the same path.", field="path")
    for path in paths:
        parts = path.split("/")
        for end in range(1, len(parts)):
            folder = "/".join(parts[:end])
            if folder in paths:
                raise Invalid(f"“{folder}” is a file and a folder at once.", field="path")


def check_declaration(declaration: Declaration) -> Declaration:
    """Return the declaration when every part is within its rules, else name each part at fault."""
    limits = declaration.limits
    faults = [
        (
            bool(declaration.runtime) and not _RUNTIME.fullmatch(declaration.runtime),
            "/runtime",
            "is not python3.N",
        ),
        (declaration.kind not in _KINDS, "/kind", "is not handler, asgi or wsgi"),
        (not _HANDLER.fullmatch(declaration.handler), "/handler", "is not module:attribute"),
        (len(declaration.description) > 2_000, "/description", "has more than 2,000 characters"),
        (not _is_schema(declaration.input_schema), "/input_schema", "is not a JSON Schema object"),
        (not _is_schema(declaration.output_schema), "/output_schema", "is not a JSON Schema object"),
        (not 64 <= limits.memory_mb <= 16_384, "/limits/memory_mb", "is not within 64 and 16384"),
        (not 100 <= limits.timeout_ms <= 900_000, "/limits/timeout_ms", "is not within 100 and 900000"),
        (not 1 <= limits.concurrency <= 1_000, "/limits/concurrency", "is not within 1 and 1000"),
        (not 1 <= limits.instances <= 1_000, "/limits/instances", "is not within 1 and 1000"),
        (not 1 <= declaration.body_limit <= 100_000_000, "/body_limit", "is not within 1 and 100000000"),
        (len(declaration.cors_origins) > 50, "/cors_origins", "has more than 50 origins"),
        (not _are_value_names(declaration.settings), "/settings", "needs different names like API_URL"),
        (not _are_value_names(declaration.secrets), "/secrets", "needs different names like API_TOKEN"),
        (bool(set(declaration.settings) & set(declaration.secrets)), "/secrets", "repeats a setting's name"),
    ]
    errors = tuple((pointer, what) for wrong, pointer, what in faults if wrong)
    if errors:
        pointer, what = errors[0]
        raise Invalid(f"The declaration cannot be used: {pointer} {what}.", field=pointer, errors=errors)
    return declaration


def _is_schema(schema: Any) -> bool:
    return schema is None or isinstance(schema, dict | bool)


def _are_value_names(names: tuple[str, ...]) -> bool:
    return (
        len(names) <= 100
        and len(set(names)) == len(names)
        and all(_VALUE_NAME.fullmatch(name) for name in names)
    )
