"""`ingot invocation`: single calls, and running one again with a payload that is sent again."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click

from control_plane.cli.bodies import read_body, write_body
from control_plane.cli.failures import ExitCode
from control_plane.cli.output import note, progress, show_list, show_one
from control_plane.cli.records import record_lines
from control_plane.cli.references import find_function, function_names
from control_plane.cli.state import CliState, pass_state
from control_plane.cli.why import story_lines

__all__ = ["invocation"]

_COLUMNS = ("accepted_at", "status", "outcome", "fault", "cold", "duration_ms", "function", "id")


@click.group()
def invocation() -> None:
    """Look at single calls."""


@invocation.command("list")
@click.argument("function", required=False)
@click.option("--project", help="Id or name; needed when you see several.")
@click.option("--version", help="A version's number (with FUNCTION) or id.")
@click.option("--key", help="An API key's id.")
@click.option("--status", help="A status such as 404, or 4xx.")
@click.option("--outcome", help="answered, rejected, failed, refused, saturated, unavailable or abandoned.")
@click.option("--fault", type=click.Choice(["nobody", "caller", "author", "platform"]), help="Who must act.")
@click.option("--mode", type=click.Choice(["sync", "stream"]), help="How it was called.")
@click.option("--cold", is_flag=True, help="Only calls that waited for a start.")
@click.option("--from", "start", help="From this time on, RFC 3339.")
@click.option("--to", "end", help="Before this time, RFC 3339.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@pass_state
def list_invocations(state: CliState, /, function: str | None, limit: int, cold: bool, **wanted: Any) -> None:
    """List the newest calls that fit, of FUNCTION or of a project."""
    times = {"from": wanted.pop("start"), "to": wanted.pop("end"), "cold": "true" if cold else None}
    with state.client() as client:
        found = find_function(client, function)["id"] if function else None
        rows = list(client.pages("/invocations", limit=limit, function=found, **wanted, **times))
        if state.output != "json":
            names = function_names(client, (row["function"] for row in rows))
            rows = [{**row, "function": names.get(row["function"], row["function"])} for row in rows]
    show_list(state, rows, _COLUMNS)


@invocation.command("get")
@click.argument("usage_id")
@pass_state
def get(state: CliState, usage_id: str) -> None:
    """Show one call as `ingot why` does."""
    with state.client() as client:
        story = client.get(f"/invocations/{usage_id}")
    if state.output == "json":
        show_one(state, story)
        return
    for line in story_lines(story):
        click.echo(line)


@invocation.command("rerun")
@click.argument("usage_id")
@click.option("--data", help="Body to send; @FILE reads it from a file, @- from standard input.")
@click.option("--content-type", help="Kind of the body; default: told by the file's name, else JSON.")
@click.option("--method", default="POST", show_default=True, help="Request method.")
@click.option("--path", "target", default="/", show_default=True, help="Path below the function.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="File to write the result to.")
@pass_state
@click.pass_context
def rerun(  # noqa: PLR0913, PLR0917  (each is one option)
    context: click.Context,
    state: CliState,
    usage_id: str,
    data: str | None,
    content_type: str | None,
    method: str,
    target: str,
    save: Path | None,
) -> None:
    """Run the version of a call once more, with a payload that you send again and test values."""
    body, kind = read_body(data, content_type)
    request = {
        "method": method.upper(),
        "path": target,
        "headers": [["content-type", kind]] if body else [],
        "body": base64.b64encode(body).decode(),
    }
    with state.client(timeout_s=300) as client, progress("Running the version"):
        done = client.create(f"/invocations/{usage_id}/rerun", request)
    if state.output == "json":
        show_one(state, done)
    else:
        for record in done["logs"]:
            for line in record_lines(record):
                note(line)
        if done["code"]:
            note(f"{done['code']}: {done['message']}")
        else:
            write_body(base64.b64decode(done["body"]), save)
        as_then = "as the call met it" if done["same"] else "not what the call met"
        note(f"Version {done['version_number']}: status {done['status']}, {as_then}.")
    if done["code"] or done["status"] >= 400:
        context.exit(ExitCode.FAILED)
