"""`ingot organization`: the tenants of a system."""

from __future__ import annotations

import click

from control_plane.cli.output import show_list, show_one
from control_plane.cli.state import CliState, pass_state

__all__ = ["organization"]

_COLUMNS = ("id", "name", "title", "created_at")


@click.group()
def organization() -> None:
    """Make and look at organizations."""


@organization.command("create")
@click.argument("name")
@click.option("--title", default="", help="A title for people.")
@pass_state
def create(state: CliState, name: str, title: str) -> None:
    """Make the organization NAME and become its owner; needs a role in the whole system."""
    with state.client() as client:
        show_one(state, client.create("/organizations", {"name": name, "title": title}))


@organization.command("list")
@pass_state
def list_organizations(state: CliState) -> None:
    """List your organizations; with a role in the whole system, all of them."""
    with state.client() as client:
        show_list(state, list(client.pages("/organizations")), _COLUMNS)


@organization.command("get")
@click.argument("organization", default="current")
@pass_state
def get(state: CliState, organization: str) -> None:
    """Show an organization by name or id, by default your own."""
    with state.client() as client:
        show_one(state, client.get(f"/organizations/{organization}"))


@organization.command("set")
@click.argument("organization", default="current")
@click.option("--title", required=True, help="The new title; the name stays.")
@pass_state
def change(state: CliState, organization: str, title: str) -> None:
    """Give an organization another title."""
    with state.client() as client:
        show_one(state, client.edit(f"/organizations/{organization}", {"title": title}))
