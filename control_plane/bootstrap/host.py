"""What the function host is told; loads neither the web nor the database stack."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from control_plane.adapters.embedded.host.config import HostConfig
from control_plane.errors import Unavailable
from control_plane.settings import settings_from_document

__all__ = ["build_host_config"]

_TEMPLATES = Path(__file__).resolve().parents[2] / "templates"


def build_host_config(document: Mapping[str, Any], keys: Mapping[str, str]) -> HostConfig:
    """Return what the function host is told."""
    settings, identities = settings_from_document(json.dumps(document)), document["identities"]
    options = settings.host
    root = identities["effective"] == 0
    return HostConfig(
        folder=settings.data / "host",
        layers=settings.data / "layers",
        bytecode=settings.data / "bytecode",
        run=settings.run,
        shim=_TEMPLATES / "runtimes" / "python",
        sandbox=_TEMPLATES / "sandbox",
        validator=_beside("jsonschema_rs"),
        isolation=document["isolation"],
        open_secret=_opener(base64.b64decode(keys["master"])),
        gateway_uid=identities["gateway"],
        control_uid=identities["control"],
        uid_base=options.uid_base + 1000 if root else None,
        idle_timeout_s=options.idle_timeout_s,
        max_life_s=options.max_life_s,
        memory_mb=options.memory_mb,
        level2_templates=options.level2_templates,
        level2_memory_mb=options.level2_memory_mb,
        log_mb_per_day=options.log_mb_per_day,
        log_mb_total=options.log_mb_total,
        log_days=settings.retention.log_days,
        drain_s=options.drain_s,
        backlog=options.backlog,
    )


def _opener(master_key: bytes) -> Callable[[str, str], bytes]:
    """Return what opens secrets; the cipher's 11 MB are loaded by the first one."""

    def open_secret(tenant: str, sealed: str) -> bytes:
        from control_plane.adapters.embedded.secrets import AesSealer

        return AesSealer(master_key).open(tenant, sealed)

    return open_secret


def _beside(package: str) -> Path:
    """Return the folder that a package lies in; an image keeps its wheels where no scheme says so."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise Unavailable(f"The package {package} is not installed.", hint="Run make install.")
    return Path(found.origin).parents[1]
