"""What the builders say when a draft, a dependency or an index is at fault.

Nothing of the control plane is known here; its services translate a
BuildError into their own error tree by `code`. A bug stays an ordinary
exception. Nothing else may live here.
"""

from __future__ import annotations

__all__ = ["CODES", "BuildError"]

# code -> what it means; services map these to statuses, the docs list them.
CODES = {
    "archive_refused": "an archive holds something that a draft may not hold",
    "archive_too_large": "an archive or a draft is over a size limit",
    "draft_invalid": "a file's name, or the draft as a whole, breaks a rule",
    "manifest_invalid": "a field of ingot.toml is missing or wrong",
    "dependencies_invalid": "requirements.txt or pyproject.toml cannot be used",
    "contract_invalid": "contract.json is not a pair of JSON Schemas 2020-12",
    "lock_failed": "the resolver found no set of versions that fits",
    "index_unreachable": "no package index answered",
    "lock_invalid": "a stored lock is damaged or of another format",
    "lock_stale": "the lock was made for other dependencies or another runtime",
    "no_artefact": "a dependency has no wheel for a platform",
    "install_failed": "a locked artefact could not be fetched or unpacked",
    "timed_out": "locking or installing took longer than its limit",
    "layer_corrupt": "a stored layer does not match its digest",
    "platform_unsupported": "this machine is none of the platforms that versions are built for",
    "confinement_failed": "the confined process could not be set up",
    "bytecode_failed": "the bytecode cache of a layer could not be made",
    "base_unavailable": "there is no base image for a runtime, or its packages cannot be had",
    "registry_unreachable": "a registry did not answer, or not in time",
    "registry_refused": "a registry refused a request: credentials, rights or a rule of its own",
    "registry_corrupt": "what a registry returned or stored does not match its digest",
    "registry_keeps_all": "a registry does not delete, so nothing can be cleaned up there",
    "signature_invalid": "an image has no signature of a trusted key, or a wrong one",
}


class BuildError(Exception):
    """One failure that its reader can act on.

    `field` names the file and key at fault (`ingot.toml:limits.memory_mb`),
    `hint` says what to do next, `log` holds the tool's own lines.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        log: tuple[str, ...] = (),
    ) -> None:
        if code not in CODES:
            raise ValueError(f"unknown build error code: {code}")
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.hint = hint
        self.log = log
