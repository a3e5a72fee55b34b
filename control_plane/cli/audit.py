"""`ingot audit`: who did what to what, and proof that nothing was changed or cut."""

from __future__ import annotations

import base64
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from control_plane.cli.bodies import write_body
from control_plane.cli.failures import ExitCode
from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.state import CliState, pass_state

__all__ = ["audit"]


@click.group()
def audit() -> None:
    """Read and verify the audit chain."""


@audit.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@click.option("--actor", help="Only what this user did (id or e-mail).")
@click.option("--action", help="Only this action, e.g. review.approve.")
@click.option("--subject", help="Only what was done to this, e.g. function/fn_….")
@click.option("--request", "request_id", help="Only what this API request did.")
@click.option("--from", "start", help="From this time on, RFC 3339.")
@click.option("--to", "end", help="Before this time, RFC 3339.")
@pass_state
def list_entries(  # noqa: PLR0913, PLR0917  (each is one option)
    state: CliState,
    limit: int,
    actor: str | None,
    action: str | None,
    subject: str | None,
    request_id: str | None,
    start: str | None,
    end: str | None,
) -> None:
    """List the newest entries that fit, oldest of them first."""
    wanted = {"actor": actor, "action": action, "subject": subject, "request_id": request_id}
    with state.client() as client:
        newest = client.pages("/audit", limit=limit, order="newest", **wanted, **{"from": start, "to": end})
        rows = list(newest)[::-1]
    for row in rows:
        row["who"] = row["actor"].get("name") or row["actor"].get("user")
    show_list(state, rows, ("sequence", "at", "who", "action", "subject", "outcome"))


@audit.command("export")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="File to write it to.")
@pass_state
def export(state: CliState, save: Path | None) -> None:
    """Download the whole chain with its signatures, one JSON object a line."""
    with state.client(timeout_s=600) as client:
        content = client.send("GET", "/audit/export").content
    write_body(content, save)


@audit.command("key")
@pass_state
def key(state: CliState) -> None:
    """Print the public key that checkpoints and exports are signed with; keep it elsewhere."""
    with state.client() as client:
        click.echo(client.get("/audit/key")["public_key"])


@audit.command("verify")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--key", "trusted", help="The public key to trust, from `ingot audit key` of earlier.")
@pass_state
@click.pass_context
def verify(context: click.Context, state: CliState, file: Path | None, trusted: str | None) -> None:
    """Check every entry's hash and every signed checkpoint: the server's, or an exported FILE without it."""
    if file is not None:
        report = _verified(file, trusted or "")
    else:
        with state.client(timeout_s=300) as client:
            report = client.get("/audit/verification")
    show_one(state, report)
    if file is not None and not trusted:
        note("The key is the file's own: name the one that you trust with --key.")
    if not report["intact"]:
        note("The audit chain is not intact.")
        context.exit(ExitCode.FAILED)


def _verified(file: Path, trusted: str) -> dict[str, Any]:
    from control_plane.domain.audit_export import verify_export

    with file.open(encoding="utf-8", errors="replace") as lines:
        found = verify_export(lines, _signed_by, trusted)
    return {
        "intact": not found.findings,
        "organization": found.organization,
        "entries": found.entries,
        "checkpoints": found.checkpoints,
        "key": found.key,
        "sealed_at_ms": found.sealed_at_ms,
        "findings": [asdict(finding) for finding in found.findings],
    }


def _signed_by(key: str, message: bytes, signature: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
        public.verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, ValueError):
        return False
    return True
