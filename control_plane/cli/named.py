"""How commands name an API key or a share: by id or name, or by a beginning that only one of them has.

Functions and projects are named as `references` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from control_plane.cli.failures import ApiProblem, ExitCode, Failure

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["find_key", "find_share"]

_ID_DIGITS: Final = 26


def find_key(client: Client, reference: str) -> Any:
    """Return the key that `reference` names, in any project; a revoked one only when no other fits."""
    if _whole_id(reference, "key_"):
        return client.get(f"/api-keys/{reference}")
    by_name: dict[str, Any] = {} if reference.startswith("key_") else {"name": reference}
    found: list[Any] = []
    for project in client.pages("/projects"):
        try:
            found += client.pages(f"/projects/{project['id']}/api-keys", **by_name)
        except ApiProblem as problem:
            # One may see a project and not its keys.
            if problem.status != 403:
                raise
    fitting = _fitting(found, reference)
    usable = [one for one in fitting if not one["revoked_at"]]
    return _only(usable or fitting, "key", reference)


def find_share(client: Client, reference: str) -> Any:
    """Return the share that `reference` names; its name is its function's."""
    if _whole_id(reference, "shr_"):
        return client.get(f"/shares/{reference}")
    return _only(_fitting(client.pages("/shares"), reference), "share", reference)


def _whole_id(reference: str, prefix: str) -> bool:
    return reference.startswith(prefix) and len(reference) >= len(prefix) + _ID_DIGITS


def _fitting(rows: Iterable[Any], reference: str) -> list[Any]:
    """Return the rows with exactly this name, else those whose name or id begins so."""
    known = list(rows)
    exactly = [row for row in known if row["name"] == reference]
    wanted = reference.casefold()
    return exactly or [
        row for row in known if row["id"].startswith(reference) or row["name"].casefold().startswith(wanted)
    ]


def _only(found: list[Any], noun: str, reference: str) -> Any:
    if not found:
        raise Failure(
            f"There is no {noun} “{reference}” that you can see.",
            hint=f"`ingot {noun} list` shows them.",
            exit_code=ExitCode.NOT_FOUND,
        )
    if len(found) > 1:
        named = ", ".join(f"{row['name']} ({row['id']})" for row in found[:5])
        raise Failure(
            f"“{reference}” names {len(found)} {noun}s.",
            hint=f"Name one by its id: {named}{' …' if found[5:] else ''}",
            exit_code=ExitCode.CONFLICT,
        )
    return found[0]
