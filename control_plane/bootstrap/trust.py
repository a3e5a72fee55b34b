"""What a cluster must hold to trust this installation: the public halves of its release and hop keys."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from control_plane.adapters.cluster.attesting import trust_entry
from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.bootstrap.named_files import named_file
from control_plane.errors import Invalid, NotFound
from control_plane.services.imports import Trust, Vouched
from control_plane.settings import Settings
from operators.trust import TrustedKey, read_trust

__all__ = ["make_trust", "read_trusted_keys", "trust_list"]

_SETTING: Final = "moving.trusted_keys_file"


def _hop_keys(folder: Path) -> list[str]:
    """Return the key that signs now, and the next one while it is being introduced."""
    paths = [path for name in ("hop", "hopnext") if (path := folder / f"{name}.key").exists()]
    return [Ed25519Signer(base64.b64decode(path.read_text())).public_key() for path in paths]


def trust_list(
    settings: Settings, namespaces: tuple[str, ...], approvals: int, namespace: str
) -> dict[str, Any]:
    """Return the ConfigMap with one entry; applied on the server, it joins the entries that are there."""
    path = settings.data / "keys" / "release.key"
    if not path.exists():
        raise NotFound(f"There is no {path}.", hint="The first `ingot up` on this folder makes the keys.")
    name, entry = trust_entry(Ed25519Signer(base64.b64decode(path.read_text())))
    entry |= {"namespaces": list(namespaces or ("*",)), "approvals": approvals}
    entry["hop"] = _hop_keys(settings.data / "keys")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "ingot-trust", "namespace": namespace},
        "data": {name: json.dumps(entry, sort_keys=True)},
    }


def read_trusted_keys(content: bytes, field: str) -> tuple[TrustedKey, ...]:
    """Return the keys in what `ingot trust` printed. Raises Invalid: no entry is left out."""
    try:
        document = json.loads(content)
        keys, faults = read_trust(document)
    except (ValueError, AttributeError, RecursionError) as error:
        raise Invalid(
            f"The list of trusted keys cannot be read: {str(error)[:200]}.",
            field=field,
            hint="Let it be what `ingot trust` printed.",
        ) from error
    if faults:
        raise Invalid(f"The list of trusted keys has an entry that cannot be used: {faults[0]}.", field=field)
    return keys


def make_trust(settings: Settings) -> Trust:
    """Return what is asked whether another Ingot's approvals count."""
    content = named_file(_SETTING, settings.moving.trusted_keys_file)
    keys = read_trusted_keys(content, _SETTING) if content else ()

    def trust(public: bytes, project: str, now: datetime) -> Vouched | None:
        found = [one for one in keys if one.public == public and one.speaks_for(project, now)]
        strictest = max(found, key=lambda one: one.approvals, default=None)
        return Vouched(strictest.name, strictest.approvals) if strictest else None

    return trust
