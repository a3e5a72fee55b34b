"""`ingot test`: run the draft once, in the sandbox and runtime that it will run in."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click

from control_plane.cli.bodies import read_body, write_body
from control_plane.cli.failures import ExitCode
from control_plane.cli.output import note, progress, show_one
from control_plane.cli.records import failure_lines, record_lines
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, pass_state

__all__ = ["test"]


@click.command()
@click.argument("function", required=False)
@click.option(
    "--input", "input_file", type=click.Path(path_type=Path, dir_okay=False), help="File to send as the body."
)
@click.option("--data", help="Body to send; @FILE reads it from a file, @- from standard input.")
@click.option("--content-type", help="Kind of the body; default: told by the file's name, else JSON.")
@click.option("--method", default="POST", show_default=True, help="Request method.")
@click.option("--path", "target", default="/", show_default=True, help="Path below the function.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="File to write the result to.")
@click.option("--profile", is_flag=True, help="Show what the import costs, slowest module first.")
@click.option("--detach", is_flag=True, help="Do not wait; print the run, for `ingot test-run`.")
@pass_state
@click.pass_context
def test(  # noqa: PLR0913, PLR0917  (each is one option)
    context: click.Context,
    state: CliState,
    function: str | None,
    input_file: Path | None,
    data: str | None,
    content_type: str | None,
    method: str,
    target: str,
    save: Path | None,
    profile: bool,
    detach: bool,
) -> None:
    """Run the draft of FUNCTION once and show its logs, result and duration."""
    body, kind = read_body(f"@{input_file}" if input_file else data, content_type)
    request = {
        "method": method.upper(),
        "path": target,
        "headers": [["content-type", kind]] if body else [],
        "body": base64.b64encode(body).decode(),
    }
    with state.client(timeout_s=960) as client, progress("Running the draft"):
        path = f"/functions/{find_function(client, function)['id']}/draft/test-runs"
        wish = {"Prefer": "respond-async"} if detach else {}
        run = client.send("POST", path, json=request, headers=wish).json()
    if detach:
        show_one(state, run, ("id", "state", "revision"))
        return
    if state.output == "json":
        show_one(state, run)
    else:
        _show(run, save, profile)
    if run["state"] != "answered" or run["status"] >= 400:
        context.exit(ExitCode.FAILED)


def _show(run: dict[str, Any], save: Path | None, profile: bool) -> None:
    said = f"{run['code']}: {run['message']}"
    for record in run["logs"]:
        if run["state"] != "answered" and record.get("message") == said:
            # The host's own line says what stands at the end anyhow.
            continue
        for line in record_lines(record):
            note(line)
    if run["state"] == "answered":
        write_body(base64.b64decode(run["body"]), save)
        times = f"after {run['duration_ms']:.1f} ms, import {run['import_ms']:.1f} ms"
        note(f"Status {run['status']} {times}, peak memory {run['peak_mb']:.0f} MB; test run {run['id']}.")
    else:
        for line in failure_lines(run["code"], run["message"]):
            note(line)
    if profile:
        for module, own, cumulative in run["import_profile"][:20]:
            note(f"{own / 1000:>9.1f} ms  {cumulative / 1000:>9.1f} ms in all  {module}")
