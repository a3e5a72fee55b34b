"""`ingot openapi`: the API's own description."""

from __future__ import annotations

import json

import click

from control_plane.cli.state import CliState, pass_state

__all__ = ["openapi"]


@click.command()
@pass_state
def openapi(state: CliState) -> None:
    """Print the server's OpenAPI document."""
    with state.client() as client:
        click.echo(json.dumps(client.get("/openapi.json"), indent=2))
