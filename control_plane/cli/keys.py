"""`ingot key`: callers' API keys."""

from __future__ import annotations

import click

from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.references import find_project
from control_plane.cli.state import CliState, confirm, pass_state

__all__ = ["key"]


@click.group()
def key() -> None:
    """Manage callers' API keys."""


@key.command("create")
@click.argument("name")
@click.option("--project", help="Name or id of the project; not needed when there is one only.")
@click.option(
    "--function", "functions", multiple=True, help="A function it may call; default: all of the project."
)
@click.option("--rate", type=click.IntRange(min=0), default=0, help="Calls in 10 seconds; 0: no limit.")
@click.option("--concurrency", type=click.IntRange(min=0), default=0, help="Calls at once; 0: no limit.")
@click.option("--days", type=click.IntRange(0, 3660), default=0, help="The key's life; 0: until revoked.")
@pass_state
def create(  # noqa: PLR0913, PLR0917  (each is one option)
    state: CliState,
    name: str,
    project: str | None,
    functions: tuple[str, ...],
    rate: int,
    concurrency: int,
    days: int,
) -> None:
    """Create an API key NAME; its text is shown this one time."""
    with state.client() as client:
        place = find_project(client, project)
        body = {
            "name": name,
            "functions": list(functions),
            "rate_10s": rate,
            "concurrency": concurrency,
            "days": days,
        }
        made = client.create(f"/projects/{place['id']}/api-keys", body)
    if state.output == "json":
        show_one(state, made)
        return
    click.echo(made["text"])
    note(f"Key {made['key']['id']}. Keep it now: it is not shown again.")


@key.command("list")
@click.option("--project", help="Name or id of the project; not needed when there is one only.")
@pass_state
def list_keys(state: CliState, project: str | None) -> None:
    """List the API keys of a project."""
    with state.client() as client:
        place = find_project(client, project)
        rows = list(client.pages(f"/projects/{place['id']}/api-keys"))
    show_list(state, rows, ("id", "name", "hint", "created_at", "expires_at", "revoked_at"))


@key.command("revoke")
@click.argument("key")
@pass_state
def revoke(state: CliState, key: str) -> None:
    """Revoke the API KEY; within two seconds no gateway accepts it any more."""
    confirm(state, f"Revoke {key}? Its callers are cut off.")
    with state.client() as client:
        client.delete(f"/api-keys/{key}")
    note(f"{key} is revoked.")
