"""`ingot freeze` and `ingot version`: immutable versions and what changed between two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from control_plane.cli.bodies import write_body
from control_plane.cli.output import next_step, progress, show_list, show_one
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, confirm, pass_state

__all__ = ["freeze", "in_words", "version"]

_FIELDS = (
    "function",
    "number",
    "digest",
    "state",
    "unreviewed",
    "reason",
    "created_by",
    "created_at",
    "published_at",
)

# What of the manifest a person asks for first; --part manifest has all of it.
_DECLARED = ("authors", "runtime", "handler", "memory_mb", "timeout_ms", "packages", "settings", "secrets")


@click.command()
@click.argument("function", required=False)
@pass_state
def freeze(state: CliState, function: str | None) -> None:
    """Make an immutable version of FUNCTION's draft."""
    with state.client(timeout_s=900) as client:
        found = find_function(client, function)
        etag = client.send("GET", f"/functions/{found['id']}/draft").headers["ETag"]
        with progress("Freezing: layers, image, bill of materials"):
            made = client.create(f"/functions/{found['id']}/versions", {}, {"If-Match": etag})
    show_one(state, made, _FIELDS)
    next_step(state, "ingot submit asks somebody else to review it; ingot preview start lets you call it.")


@click.group()
def version() -> None:
    """List, show, compare, deprecate and retire versions."""


@version.command("list")
@click.argument("function", required=False)
@click.option("--state", "wanted", help="Only versions in this state, e.g. deprecated.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many.")
@pass_state
def list_versions(state: CliState, function: str | None, wanted: str | None, limit: int) -> None:
    """List FUNCTION's versions, newest first."""
    with state.client() as client:
        found = find_function(client, function)
        rows = list(client.pages(f"/functions/{found['id']}/versions", limit=limit, state=wanted))
    show_list(
        state, rows, ("number", "state", "unreviewed", "digest", "created_at", "published_at", "reason")
    )


@version.command("with")
@click.argument("package")
@click.option("--version", "package_version", help="Only this version of the package.")
@pass_state
def versions_with(state: CliState, package: str, package_version: str | None) -> None:
    """List the versions, of every function that you can see, that contain PACKAGE."""
    with state.client() as client:
        rows = list(client.pages(f"/packages/{package}/versions", version=package_version))
    show_list(state, rows, ("function_name", "number", "state", "package_version", "published_at"))


@version.command("deprecate")
@click.argument("function")
@click.argument("number", type=int)
@click.option("--reason", default="", help="Why nobody should use it any more.")
@pass_state
def deprecate(state: CliState, function: str, number: int, reason: str) -> None:
    """Mark version NUMBER as not to be used for anything new."""
    _move(state, function, number, ("deprecate", reason))


@version.command("retire")
@click.argument("function")
@click.argument("number", type=int)
@click.option("--reason", default="", help="Why it must not be released again.")
@pass_state
def retire(state: CliState, function: str, number: int, reason: str) -> None:
    """Forbid any further release of version NUMBER, rollbacks too. This is final."""
    confirm(state, f"Version {number} of {function} can never be released again. Go on?")
    _move(state, function, number, ("retire", reason))


def _move(state: CliState, function: str, number: int, what: tuple[str, str]) -> None:
    action, reason = what
    with state.client() as client:
        found = find_function(client, function)
        path = f"/functions/{found['id']}/versions/{number}/{action}"
        show_one(state, client.post(path, {"reason": reason}), _FIELDS)


@version.command("get")
@click.argument("function")
@click.argument("number", type=int)
@click.option("--part", type=click.Choice(["source", "lock", "sbom", "manifest"]), help="Download this part.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="File to write the part to.")
@pass_state
def get(state: CliState, function: str, number: int, part: str | None, save: Path | None) -> None:
    """Show version NUMBER of FUNCTION, or download one part of it."""
    with state.client() as client:
        found = find_function(client, function)
        path = f"/functions/{found['id']}/versions/{number}"
        if part is None:
            shown = client.get(path)
            show_one(state, shown if state.output == "json" else in_words(shown), (*_FIELDS, *_DECLARED))
            return
        write_body(client.send("GET", f"{path}/{part}").content, save)


def in_words(shown: dict[str, Any]) -> dict[str, Any]:
    """Return a version with what its manifest declares, as a person reads it."""
    manifest = shown["manifest"]
    limits = manifest.get("limits", {})
    # The platforms' wheels differ, their packages rarely do.
    packages = {
        f"{one['name']} {one['version']}"
        for wheels in manifest.get("artefacts", {}).values()
        for one in wheels
    }
    return {
        **shown,
        "authors": ", ".join(email for _, email in shown["authors"]),
        "runtime": manifest.get("runtime"),
        "handler": manifest.get("handler"),
        "memory_mb": limits.get("memory_mb"),
        "timeout_ms": limits.get("timeout_ms"),
        "packages": ", ".join(sorted(packages)),
        "settings": ", ".join(manifest.get("settings", ())),
        "secrets": ", ".join(manifest.get("secrets", ())),
    }


@version.command("diff")
@click.argument("function")
@click.argument("number", type=int)
@click.option("--base", type=int, help="Compare with this version; default: the one before.")
@pass_state
def diff(state: CliState, function: str, number: int, base: int | None) -> None:
    """Show what version NUMBER changes: code, dependencies and declaration."""
    with state.client() as client:
        found = find_function(client, function)
        changes = client.get(f"/functions/{found['id']}/versions/{number}/diff", base=base)
    show_diff(state, changes)


def show_diff(state: CliState, changes: dict[str, Any]) -> None:
    """Print a structural difference."""
    if state.output == "json":
        show_one(state, changes)
        return
    for change in [*changes["declaration"], *changes["dependencies"]]:
        click.echo(_changed(change))
    for file in changes["files"]:
        click.echo(f"{file['kind']} {file['path']}{' (binary)' if file['binary'] else ''}")
        for line in file["lines"]:
            colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
            click.echo(click.style(line, fg=colour))


def _changed(change: dict[str, Any]) -> str:
    """Return `name: before -> after`; what is new or gone has one side only."""
    before, after = (_word(change[side]) for side in ("before", "after"))
    if change["before"] is None:
        return f"+ {change['name']}: {after}"
    return (
        f"- {change['name']}: {before}"
        if change["after"] is None
        else f"{change['name']}: {before} -> {after}"
    )


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
