"""`ingot market`: find and install what others share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.references import find_function, find_project
from control_plane.cli.state import CliState, confirm, pass_state

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["find_offer", "market"]


@click.group()
def market() -> None:
    """Find and install what others share."""


@market.command("search")
@click.argument("words", nargs=-1)
@click.option("--tag", "tags", multiple=True, help="Only what has this tag; repeatable.")
@click.option("--kind", type=click.Choice(["function", "starter"]), help="Only these.")
@click.option("--limit", type=int, default=50, show_default=True, help="At most this many.")
@pass_state
def search(
    state: CliState, words: tuple[str, ...], tags: tuple[str, ...], kind: str | None, limit: int
) -> None:
    """List what is shared with you and has all WORDS."""
    with state.client() as client:
        query = {"q": " ".join(words) or None, "tags": ",".join(tags) or None, "kind": kind}
        rows = list(client.pages("/market", limit=limit, **query))
    show_list(state, rows, ("id", "organization", "name", "number", "kind", "reviewed", "tags", "summary"))


@market.command("show")
@click.argument("share")
@pass_state
def show(state: CliState, share: str) -> None:
    """Show all of SHARE (an id, or organization/name): contract, readme, dependencies, review."""
    with state.client() as client:
        row = client.get(f"/market/{find_offer(client, share)['id']}")
    readme = row["readme"]
    show_one(state, row, [name for name in row if name != "readme"])
    if readme and state.output != "json":
        shown = "".join(char if char.isprintable() or char == "\n" else "�" for char in readme)
        click.echo("\n" + shown)


@market.command("install")
@click.argument("share")
@click.option("--project", help="Name or id of the project; not needed when there is one only.")
@click.option("--name", default="", help="The new function's name; default: the shared one's.")
@click.option("--digest", default="", help="Install only exactly this; default: what is offered now.")
@pass_state
def install(state: CliState, share: str, project: str | None, name: str, digest: str) -> None:
    """Make a function whose draft is a copy of SHARE (an id, or organization/name)."""
    with state.client() as client:
        place = find_project(client, project)
        offer = find_offer(client, share)
        if not offer["reviewed"]:
            confirm(
                state, f"Nobody approved {offer['organization']}/{offer['name']}. Install it all the same?"
            )
        body = {"project": place["id"], "name": name, "digest": digest or offer["digest"]}
        row = client.create(f"/market/{offer['id']}/installations", body)
    show_one(state, row)
    note(f"Its draft is yours. Next: ingot freeze {row['name']}")


@market.command("installed")
@pass_state
def installed(state: CliState) -> None:
    """List what was installed, and what has newer versions."""
    with state.client() as client:
        rows = list(client.pages("/installations"))
    for row in rows:
        row["newer_number"] = row["newer"]["number"] if row["newer"] else None
    show_list(state, rows, ("function", "organization", "name", "number", "newer_number", "installed_at"))


@market.command("update")
@click.argument("function", required=False)
@pass_state
def update(state: CliState, function: str | None) -> None:
    """Replace an installed FUNCTION's draft by what its share offers now."""
    with state.client() as client:
        found = find_function(client, function)
        source = client.get(f"/functions/{found['id']}/installation")
        if source["newer"] is None:
            note("Nothing newer is offered.")
            return
        etag = client.send("GET", f"/functions/{found['id']}/draft").headers["ETag"]
        confirm(state, f"Replace the draft of {found['name']} by number {source['newer']['number']}?")
        row = client.send(
            "POST",
            f"/functions/{found['id']}/installation/update",
            json={"digest": source["newer"]["digest"]},
            headers={"If-Match": etag},
        ).json()
    show_one(state, row)


def find_offer(client: Client, reference: str, kind: str | None = None) -> Any:
    """Return the offer that an id or `organization/name` stands for."""
    if reference.startswith("shr_"):
        return client.get(f"/market/{reference}")
    owner, _, name = reference.rpartition("/")
    found = [
        row
        for row in client.pages("/market", q=name, kind=kind)
        if row["name"] == name and owner in {"", row["organization"]}
    ]
    if len(found) != 1:
        problem = "Several are" if found else "Nothing is"
        raise Failure(
            f"{problem} shared as “{reference}” with you.",
            hint="`ingot market search` shows what is; name one by its id.",
            exit_code=ExitCode.USAGE if found else ExitCode.NOT_FOUND,
        )
    return found[0]
