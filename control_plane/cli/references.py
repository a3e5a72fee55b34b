"""How commands name a function or project: an id, a name, `organization/name`, or the linked folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from control_plane.cli.failures import ApiProblem, ExitCode, Failure

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = [
    "LINK_FILE",
    "Link",
    "find_function",
    "find_project",
    "function_names",
    "read_link",
    "write_link",
]

LINK_FILE: Final = ".ingot-draft.json"


@dataclass(frozen=True, slots=True)
class Link:
    """Which draft a folder holds, and the state of it that was last seen."""

    url: str
    function: str
    etag: str


def read_link(folder: Path) -> Link | None:
    """Return the link of `folder`, or None when it has none."""
    path = folder / LINK_FILE
    try:
        stored = json.loads(path.read_text("utf-8"))
        return Link(str(stored["url"]), str(stored["function"]), str(stored["etag"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{path} cannot be read: {error}.", hint="Delete it and name the function.") from error


def write_link(folder: Path, link: Link) -> None:
    """Remember what `folder` holds."""
    (folder / LINK_FILE).write_text(json.dumps(asdict(link), indent=2) + "\n", "utf-8")


def find_function(client: Client, reference: str | None, folder: Path | None = None) -> Any:
    """Return the function that `reference` names, else the one linked to `folder`."""
    if not reference:
        link = read_link(folder or Path.cwd())
        if link is None or link.url != client.profile.url:
            raise Failure(
                "No function is named, and this folder is not linked to one on this server.",
                hint="Name the function, or run `ingot draft push NAME` here first.",
                exit_code=ExitCode.USAGE,
            )
        reference = link.function
    if reference.startswith("fn_"):
        return client.get(f"/functions/{reference}")
    name = reference.rpartition("/")[2]
    return _only(client.get("/functions", name=name, limit=2)["items"], "function", reference)


def function_names(client: Client, ids: Iterable[str]) -> dict[str, str]:
    """Return what these functions are called; those that one cannot see any more are left out."""
    names: dict[str, str] = {}
    for one in sorted(set(ids) - {""}):
        with contextlib.suppress(ApiProblem):
            names[one] = client.get(f"/functions/{one}")["name"]
    return names


def find_project(client: Client, reference: str | None) -> Any:
    """Return the project that `reference` names; without one, the only project there is."""
    if reference and reference.startswith("prj_"):
        return client.get(f"/projects/{reference}")
    projects = client.get("/projects", limit=100)["items"]
    if reference:
        projects = [project for project in projects if project["name"] == reference]
    elif len(projects) > 1:
        names = ", ".join(project["name"] for project in projects)
        raise Failure(
            "There are several projects.",
            hint=f"Add --project with one of {names}.",
            exit_code=ExitCode.USAGE,
        )
    return _only(projects, "project", reference or "")


def _only(found: list[Any], noun: str, reference: str) -> Any:
    if not found:
        raise Failure(
            f"There is no {noun} “{reference}” that you can see." if reference else f"There is no {noun}.",
            hint=f"`ingot {noun} list` shows them.",
            exit_code=ExitCode.NOT_FOUND,
        )
    return found[0]
