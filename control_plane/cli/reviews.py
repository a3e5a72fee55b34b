"""`ingot submit` and `ingot review`: ask for a decision, look, decide.

REVIEW is an id, or the name of a function that has one waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from control_plane.cli.evidence import show_evidence
from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.output import next_step, show_list, show_one
from control_plane.cli.records import plain
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, confirm, pass_state
from control_plane.cli.versions import show_diff

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["review", "submit"]

_FIELDS = (
    "id", "kind", "function_name", "version_number", "digest", "state", "risks", "submitter_email", "note",
    "approvals", "required", "comments", "reason", "created_at",
)  # fmt: skip


@click.command()
@click.argument("function", required=False)
@click.option("--version", "number", type=int, help="Version to submit; default: the newest.")
@click.option("--note", "remark", default="", help="What the reviewer should know.")
@click.option(
    "--kind",
    type=click.Choice(("publish", "modify", "takedown", "reinstate")),
    default="publish",
    show_default=True,
    help="What is asked for.",
)
@pass_state
def submit(state: CliState, function: str | None, number: int | None, remark: str, kind: str) -> None:
    """Ask for a review of a version of FUNCTION."""
    with state.client() as client:
        found = find_function(client, function)
        wanted = number or found["latest"]
        if not wanted:
            raise Failure(
                "There is no version yet.", hint="Run `ingot freeze` first.", exit_code=ExitCode.CONFLICT
            )
        made = client.create(
            f"/functions/{found['id']}/reviews", {"version": wanted, "note": remark, "kind": kind}
        )
    _show(state, made)
    next_step(
        state, f"a reviewer, who is not you: ingot review show {made['id']}, then ingot review approve."
    )


@click.group()
def review() -> None:
    """Look at reviews and decide them; REVIEW is an id, or a function with one that waits."""


@review.command("list")
@click.option("--all", "everything", is_flag=True, help="Decided ones too.")
@click.option("--function", help="Only this function's.")
@pass_state
def list_reviews(state: CliState, everything: bool, function: str | None) -> None:
    """List the reviews that wait for a decision."""
    with state.client() as client:
        found = find_function(client, function)["id"] if function else None
        rows = list(client.pages("/reviews", state=None if everything else "open", function=found))
    show_list(
        state, rows, ("id", "function_name", "version_number", "state", "submitter_email", "created_at")
    )


@review.command("inbox")
@click.option(
    "--mine",
    type=click.Choice(("to_decide", "submitted", "decided")),
    default="to_decide",
    show_default=True,
    help="How it concerns you.",
)
@pass_state
def inbox(state: CliState, mine: str) -> None:
    """List the reviews that wait for you."""
    with state.client() as client:
        rows = list(client.pages("/reviews", mine=mine))
    columns = ("id", "kind", "function_name", "version_number", "state", "risks", "submitter_email")
    show_list(state, rows, columns)


@review.command("diff")
@click.argument("review")
@pass_state
def diff(state: CliState, review: str) -> None:
    """Show what a REVIEW changes against the last reviewed version."""
    with state.client() as client:
        changes = client.get(f"{_path(client, review)}/diff")
    if state.output == "json":
        show_one(state, changes)
        return
    show_diff(state, changes)


@review.command("evidence")
@click.argument("review")
@pass_state
def evidence(state: CliState, review: str) -> None:
    """Show what speaks for or against a REVIEW: risks, tests, dependencies, licences, limits, cost."""
    with state.client() as client:
        found = client.get(f"{_path(client, review)}/evidence")
    if state.output == "json":
        show_one(state, found)
    else:
        show_evidence(found)


@review.command("show")
@click.argument("review")
@pass_state
def show(state: CliState, review: str) -> None:
    """Show a REVIEW with all that it changes; the digest is what you approve."""
    with state.client() as client:
        path = _path(client, review)
        found, changes = client.get(path), client.get(f"{path}/diff")
    if state.output == "json":
        show_one(state, {**found, "diff": changes})
        return
    _show(state, found)
    show_diff(state, changes)


@review.command("approve")
@click.argument("review")
@click.option("--digest", help="The digest that you have read; asked for by showing it when left out.")
@click.option("--values", help="What the review shows as values; only where the policy covers values.")
@pass_state
def approve(state: CliState, review: str, digest: str | None, values: str | None) -> None:
    """Approve exactly the version, and the values, that REVIEW shows."""
    with state.client() as client:
        path = _path(client, review)
        if digest is None:
            shown = client.get(path)
            digest, values = shown["digest"], values or shown["values"]
            beside = f" beside the values {values}" if values else ""
            confirm(state, f"Have you read {digest}{beside}, and approve it?")
        body = {"digest": digest, "values": values or ""}
        decided = client.post(f"{path}/approve", body)
    _show(state, decided)
    if decided["state"] == "approved":
        next_step(state, f"ingot release apply {decided['function_name']}")


@review.command("request-changes")
@click.argument("review")
@click.option("--reason", required=True, help="What should change; the author reads it.")
@pass_state
def request_changes(state: CliState, review: str, reason: str) -> None:
    """Give a REVIEW back; approvals so far count no more."""
    with state.client() as client:
        _show(state, client.post(f"{_path(client, review)}/request-changes", {"reason": reason}))


@review.command("resubmit")
@click.argument("review")
@click.option("--note", "answer", required=True, help="Your answer; the reviewers read it.")
@pass_state
def resubmit(state: CliState, review: str, answer: str) -> None:
    """Answer a request for changes with the same version."""
    with state.client() as client:
        _show(state, client.post(f"{_path(client, review)}/resubmit", {"note": answer}))


@review.command("reject")
@click.argument("review")
@click.option("--reason", required=True, help="Why; the author reads it.")
@pass_state
def reject(state: CliState, review: str, reason: str) -> None:
    """Reject a REVIEW."""
    with state.client() as client:
        _show(state, client.post(f"{_path(client, review)}/reject", {"reason": reason}))


@review.command("withdraw")
@click.argument("review")
@pass_state
def withdraw(state: CliState, review: str) -> None:
    """Take your own REVIEW back."""
    with state.client() as client:
        _show(state, client.post(f"{_path(client, review)}/withdraw"))


@review.command("comment")
@click.argument("review")
@click.argument("text")
@click.option("--path", default="", help="A file that it is about.")
@click.option("--line", type=int, default=0, help="A line of that file.")
@click.option(
    "--side",
    type=click.Choice(("before", "after")),
    default="after",
    show_default=True,
    help="Of the change.",
)
@click.option("--thread", default="", help="Id of the remark that is answered.")
@pass_state
def comment(state: CliState, /, review: str, **remark: Any) -> None:
    """Remark on a REVIEW, on a line of one of its files, or in a thread."""
    with state.client() as client:
        _show(state, client.create(f"{_path(client, review)}/comments", remark))


@review.command("resolve")
@click.argument("review")
@click.argument("comment")
@click.option("--reopen", is_flag=True, help="Open it again instead.")
@pass_state
def resolve(state: CliState, review: str, comment: str, reopen: bool) -> None:
    """Mark the thread that COMMENT began as settled."""
    verb = "reopen" if reopen else "resolve"
    with state.client() as client:
        _show(state, client.post(f"{_path(client, review)}/comments/{comment}/{verb}"))


def _path(client: Client, reference: str) -> str:
    """Return the path of the review that an id names, or a function: its only one that waits."""
    if reference.startswith("rev_"):
        return f"/reviews/{reference}"
    found = find_function(client, reference)
    waiting = client.get("/reviews", state="open", function=found["id"], limit=2)["items"]
    if len(waiting) != 1:
        raise Failure(
            f"Several reviews of {found['name']} wait."
            if waiting
            else f"No review of {found['name']} waits.",
            hint="`ingot review list` shows them with their ids; decided ones with --all.",
            exit_code=ExitCode.CONFLICT if waiting else ExitCode.NOT_FOUND,
        )
    return f"/reviews/{waiting[0]['id']}"


def _show(state: CliState, found: dict[str, Any]) -> None:
    """Print a review; the table names its approvers and remarks in words."""
    if state.output == "json":
        show_one(state, found)
        return
    approvers = ", ".join(approval["email"] for approval in found["approvals"])
    shown = {**found, "approvals": approvers, "comments": ""}
    show_one(state, shown, _FIELDS)
    for remark in found["comments"]:
        place = f" {remark['path']}:{remark['line']}" if remark["path"] else ""
        settled = " (settled)" if remark["resolved_by"] else ""
        who = remark["email"] or remark["user"]
        line = f"{remark['thread'] or remark['id']} {remark['at']} {who}{place}{settled}  {remark['text']}"
        click.echo(f"  {plain(line)}")
