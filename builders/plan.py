"""What a draft amounts to, read from its files alone.

Pure: the same files give the same plan on every machine. Nothing is resolved,
fetched or run here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from builders import tree
from builders.contract import read_contract
from builders.detect import find_handler
from builders.manifest import read_manifest
from builders.requirements import read_requirements

__all__ = ["Plan", "read_draft"]


@dataclass(frozen=True, slots=True)
class Plan:
    """One draft, understood and checked."""

    name: str
    description: str
    # "python3.N", or empty: then the lock says which.
    runtime: str
    # "handler", "asgi" or "wsgi"
    kind: str
    # "module:attribute"
    handler: str
    streaming: bool
    # memory_mb, timeout_ms, concurrency, instances
    limits: Mapping[str, int]
    # Names only; values come with a release.
    settings: tuple[str, ...]
    secrets: tuple[str, ...]
    # What the gateway does for it: callable without a key; checks `Authorization` itself; no
    # `Content-Security-Policy: sandbox`; largest request body in bytes; browser origins that may call.
    public: bool
    own_authentication: bool
    unsandboxed_page: bool
    body_limit: int
    cors_origins: tuple[str, ...]
    # Requirements in normal form, sorted.
    requirements: tuple[str, ...]
    # JSON Schemas 2020-12, or None where the contract says nothing.
    input_schema: Any
    output_schema: Any
    # The whole tree, without leftovers, sorted by the names' bytes.
    files: Mapping[str, bytes]


def read_draft(files: Mapping[str, bytes]) -> Plan:
    """Return the plan of a draft's files, or say which file and field is wrong."""
    kept = tree.normalise(files)
    manifest = read_manifest(kept)
    kind, handler = find_handler(kept, manifest)
    input_schema, output_schema = read_contract(kept)
    return Plan(
        name=manifest.name,
        description=manifest.description,
        runtime=manifest.runtime,
        kind=kind,
        handler=handler,
        streaming=manifest.streaming,
        limits=manifest.limits,
        settings=manifest.settings,
        secrets=manifest.secrets,
        public=manifest.public,
        own_authentication=manifest.own_authentication,
        unsandboxed_page=manifest.unsandboxed_page,
        body_limit=manifest.body_limit,
        cors_origins=manifest.cors_origins,
        requirements=read_requirements(kept),
        input_schema=input_schema,
        output_schema=output_schema,
        files=kept,
    )
