"""`ingot init`, `ingot starter`: a function's folder from a starter, the checkout's or the server's."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import click

from control_plane.cli.archives import unpack
from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.market import find_offer
from control_plane.cli.output import next_step, note, show_list
from control_plane.cli.state import CliState, pass_state

__all__ = ["init", "starter"]

# What somebody shares: organization/name, or a share's id.
_SHARED = re.compile(r"[a-z][a-z0-9-]*/[a-z][a-z0-9-]*|shr_[0-9a-z]+")
# The checkout's starters; an installed CLI without them asks the server.
_LOCAL = Path(__file__).resolve().parents[2] / "templates" / "starters"


@click.command()
@click.argument("name")
@click.option(
    "--starter",
    help="Its name, or organization/name of a shared one; without it those that come with Ingot are listed.",
)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Where; default: ./NAME.")
@pass_state
def init(state: CliState, name: str, starter: str | None, folder: Path | None) -> None:
    """Start the folder of a function NAME from a starter."""
    from control_plane.domain.ids import check_name
    from control_plane.errors import Invalid

    try:
        check_name(name)
    except Invalid as error:
        raise Failure(error.message, hint=error.hint or "", exit_code=ExitCode.USAGE) from error
    shared = starter is not None and _SHARED.fullmatch(starter) is not None
    local = sorted(path.name for path in _LOCAL.iterdir() if path.is_dir()) if _LOCAL.is_dir() else []
    if starter is None or (local and not shared and starter not in local):
        known = ", ".join(local) or "see `ingot init NAME --starter` on the server's /docs"
        problem = "No starter is named." if starter is None else f"There is no starter “{starter}”."
        raise Failure(problem, hint=f"Choose one of {known}.", exit_code=ExitCode.USAGE)
    target = folder or Path(name)
    if target.exists() and any(target.iterdir()):
        raise Failure(f"{target} is not empty.", hint="Choose another --folder.", exit_code=ExitCode.CONFLICT)
    if shared:
        _unpack_shared(state, starter, target)
    elif local:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(_LOCAL / starter, target, dirs_exist_ok=True, ignore=ignored)
    else:
        with state.client() as client:
            target.mkdir(parents=True, exist_ok=True)
            unpack(client.send("GET", f"/starters/{starter}/archive").content, target)
    note(f"Wrote {target}/.")
    next_step(state, f"cd {target}; ingot function create {name}; ingot draft push {name}")


@click.group()
def starter() -> None:
    """Look at what a function can begin from."""


@starter.command("list")
@pass_state
def list_starters(state: CliState) -> None:
    """List Ingot's own starters and those that are shared with you."""
    with state.client() as client:
        own = [{**row, "from": "ingot"} for row in client.pages("/starters")]
        # The market needs a sign-in, Ingot's own starters do not.
        offers = client.pages("/market", kind="starter") if client.profile.token else []
        shared = [
            {
                "name": f"{row['organization']}/{row['name']}",
                "description": row["summary"],
                "from": row["organization"],
                "reviewed": row["reviewed"],
            }
            for row in offers
        ]
    show_list(state, [*own, *shared], ("name", "description", "reviewed"))


def _unpack_shared(state: CliState, starter: str, target: Path) -> None:
    """Write the source that somebody shares as a starter."""
    with state.client() as client:
        offer = find_offer(client, starter, "starter")
        content = client.send("GET", f"/market/{offer['id']}/source").content
    target.mkdir(parents=True, exist_ok=True)
    unpack(content, target)
    if not offer["reviewed"]:
        note(f"Nobody approved {offer['organization']}/{offer['name']}: read it before you run it.")
