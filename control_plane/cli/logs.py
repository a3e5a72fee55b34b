"""`ingot logs`: a function's log records."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from control_plane.cli.records import record_lines
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, pass_state

__all__ = ["logs"]


@click.command()
@click.argument("function", required=False)
@click.option("--request", "request_id", help="Only this request's records.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many.")
@click.option("--follow", is_flag=True, help="Go on as records arrive; stop with Ctrl-C.")
@pass_state
def logs(state: CliState, function: str | None, request_id: str | None, limit: int, follow: bool) -> None:
    """Show FUNCTION's newest log records, oldest of them first."""
    with state.client() as client:
        found = find_function(client, function)
        after: str | None = None
        while True:
            answer = client.get(
                f"/functions/{found['id']}/logs", request_id=request_id, limit=limit, after=after
            )
            for record in answer["items"]:
                _show(state, record)
            after = answer["after"]
            if not follow:
                return
            time.sleep(1.0)


def _show(state: CliState, record: dict[str, Any]) -> None:
    if state.output == "json":
        click.echo(json.dumps(record, ensure_ascii=False))
        return
    for line in record_lines(record):
        click.echo(line)
