"""What the backup commands are made of: the settings of a data folder, its owners, and the audit's check."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from control_plane.adapters.embedded.anchor import Ed25519Signer, FileAnchor
from control_plane.adapters.embedded.clock import SystemClock, SystemEntropy
from control_plane.backup.archive import open_archive, read_manifest
from control_plane.backup.by_hand import by_hand
from control_plane.backup.check import Checked, check_backup
from control_plane.backup.create import Created, Wish, create_backup
from control_plane.backup.keys import open_keys
from control_plane.backup.restore import Owners, Restored, restore_backup
from control_plane.errors import Conflict, Invalid, NotFound
from control_plane.ports import Signer
from control_plane.services.audit import Audit
from control_plane.services.changes import Changes
from control_plane.settings import Settings
from control_plane.store.engine import create_engine
from control_plane.store.tables import CONTROL_SCHEMA
from control_plane.store.unit_of_work import Store
from control_plane.supervisor.folders import choose_identities
from control_plane.supervisor.up import checkout

__all__ = ["check", "create", "keys_of", "restore"]


def create(settings: Settings, into: Path, passphrase: str, program: str) -> Created:
    """Back the data folder of these settings up. Raises Conflict when a part of it lies elsewhere."""
    elsewhere = {
        "database.control_url": settings.database.control_url,
        "database.usage_url": settings.database.usage_url,
        "storage.bucket": settings.storage.bucket,
    }
    if named := [name for name, value in elsewhere.items() if value]:
        raise Conflict(
            f"{' and '.join(named)} {'names a server' if len(named) == 1 else 'name servers'}, "
            "whose content no archive of the data folder holds.",
            hint=f"Run these instead, in this order: {'; '.join(by_hand(settings, into))}",
        )
    return create_backup(Wish(settings.data, into, SystemClock().now_ms(), program, passphrase))


def check(archive: Path, keys: Mapping[str, str] | None) -> Checked:
    """Verify an archive; with its keys the audit's signatures too."""
    return check_backup(archive, _audit_findings, keys)


def restore(
    archive: Path, settings: Settings, keys: Mapping[str, str], say: Callable[[str], None]
) -> Restored:
    """Restore into the settings' data folder, owned as `ingot up` wants it."""
    identities = choose_identities(settings, (checkout(), Path(sys.executable)))
    return restore_backup(archive, settings.data, keys, Owners(identities.control, identities.group), say)


def keys_of(archive: Path, passphrase: str, apart: Path | None) -> dict[str, str]:
    """Return a backup's keys, by the passphrase or from the file apart. Raises Invalid, NotFound."""
    if read_manifest(archive).keys == "sealed":
        if not passphrase:
            raise Invalid(
                "The keys are sealed.", field="passphrase-file", hint="Give --passphrase-file FILE."
            )
        with open_archive(archive) as members:
            for taken in members:
                if taken.name == "keys.sealed":
                    return open_keys(taken.stream.read(), passphrase)
        raise Invalid(f"{archive} names sealed keys and holds none.", hint="Take another archive.")
    path = apart or archive.with_suffix(".keys")
    if not path.exists():
        raise NotFound(f"There is no {path}.", field="keys", hint="Name the file with the keys: --keys FILE")
    try:
        found: dict[str, str] = json.loads(path.read_text())
    except ValueError as error:
        raise Invalid(f"{path} holds no keys.", field="keys", hint="Name another file.") from error
    return found


class _Unchecked:
    """Takes every signature: without the keys only the hashes can be checked."""

    def sign(self, message: bytes) -> str:
        """Never asked for here."""
        raise NotImplementedError

    def verify(self, message: bytes, signature: str) -> bool:
        """Believe it."""
        return True

    def public_key(self) -> str:
        """Never asked for here."""
        raise NotImplementedError


def _audit_findings(folder: Path, keys: Mapping[str, str] | None) -> tuple[str, ...]:
    signer: Signer = Ed25519Signer(base64.b64decode(keys["audit"])) if keys else _Unchecked()
    engine = create_engine(f"sqlite:///{folder / 'db' / 'control.db'}", schema=CONTROL_SCHEMA)
    try:
        changes = Changes(Store(engine), SystemClock(), SystemEntropy())
        audit = Audit(changes, signer, FileAnchor(folder / "audit" / "checkpoints.jsonl"))
        return tuple(
            f"The audit chain of {chain.organization or 'the system'}: {finding.message}"
            for chain in audit.verify_all()
            for finding in chain.findings
        )
    finally:
        engine.dispose()
