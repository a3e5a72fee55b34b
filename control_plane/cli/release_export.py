"""`ingot release export`: a release as a file that git keeps and a cluster admits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.moving import await_export
from control_plane.cli.output import note
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, pass_state

__all__ = ["export"]

_PATH = click.Path(path_type=Path, dir_okay=False)


@click.command("export")
@click.argument("function", required=False)
@click.option("--release", "number", type=int, help="Number of the release; default: the live one.")
@click.option(
    "--namespace", default="", help="Where it is to run; default: the namespace of its project's id."
)
@click.option("--name", default="", help="Name of the resource; default: the function's.")
@click.option("--to", "target", type=_PATH, help="Write the resource to this file; default: print it.")
@click.option("--approvals-to", "approvals", type=_PATH, help="Write who approved it, signed, to this file.")
@pass_state
def export(
    state: CliState,
    /,
    function: str | None,
    number: int | None,
    target: Path | None,
    approvals: Path | None,
    **place: str,
) -> None:
    """Write a release of FUNCTION as YAML for `kubectl apply -f`, attested and managed by git."""
    with state.client() as client:
        found = find_function(client, function)
        path = f"/functions/{found['id']}/releases"
        live = client.get(f"{path}/status")["live"] if number is None else {"number": number}
        if live is None:
            raise Failure(
                "The function has no live release.",
                hint="Name one with --release; it need not be live.",
                exit_code=ExitCode.NOT_FOUND,
            )
        made = client.create(f"{path}/{live['number']}/exports", place)
        made = await_export(client, found["id"], made)
    text = _yaml(made["resource"])
    if target is None:
        click.echo(text, nl=False)
    else:
        target.write_text(text)
    if approvals is not None:
        approvals.write_text(json.dumps(made["evidence"], indent=2, sort_keys=True) + "\n")
    for one in _secrets(made["resource"]):
        note(f"It needs the Secret {one} in the namespace {made['namespace']}.")


def _yaml(resource: dict[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(resource, sort_keys=False, width=110))


def _secrets(resource: dict[str, Any]) -> list[str]:
    found: dict[str, set[str]] = {}
    for version in resource["spec"]["versions"]:
        for one in version.get("secrets", ()):
            found.setdefault(one["secret"], set()).add(one["key"])
    return [f"{name} with {', '.join(sorted(keys))}" for name, keys in sorted(found.items())]
