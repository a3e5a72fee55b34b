"""`ingot setting`: named values that functions read; secrets are write-only."""

from __future__ import annotations

import sys

import click

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.output import note, show_list
from control_plane.cli.references import find_project
from control_plane.cli.state import CliState, pass_state

__all__ = ["setting"]

_PROJECT = click.option("--project", help="Name or id of the project; not needed when there is one only.")


@click.group()
def setting() -> None:
    """Set values that functions read."""


@setting.command("set")
@click.argument("name")
@click.argument("value", required=False)
@click.option("--secret", is_flag=True, help="Encrypt it; nobody can read it back.")
@click.option(
    "--stage", type=click.Choice(["live", "test"]), default="live", show_default=True, help="Who reads it."
)
@_PROJECT
@pass_state
def set_value(
    state: CliState, name: str, value: str | None, secret: bool, stage: str, project: str | None
) -> None:
    """Set NAME to VALUE; without VALUE it is read from standard input, as secrets should be."""
    if value is None:
        value = _read(secret)
    with state.client() as client:
        place = find_project(client, project)
        kind = "secrets" if secret else "settings"
        client.send("PUT", f"/projects/{place['id']}/{kind}/{name}", json={"value": value, "stage": stage})
    note(f"{name} is set for {stage} runs; the next release uses it.")


@setting.command("list")
@_PROJECT
@pass_state
def list_values(state: CliState, project: str | None) -> None:
    """List the settings and the names of the secrets."""
    with state.client() as client:
        place = find_project(client, project)
        rows = list(client.pages(f"/projects/{place['id']}/settings"))
    show_list(state, rows, ("kind", "name", "stage", "value", "number", "created_at"))


def _read(secret: bool) -> str:
    if sys.stdin.isatty():
        answer: str = click.prompt("Value", hide_input=secret, err=True)
        return answer
    value = sys.stdin.read().removesuffix("\n")
    if not value:
        raise Failure("No value is given.", hint="Pipe it in, or add VALUE.", exit_code=ExitCode.USAGE)
    return value
