"""`ingot dev`: a preview of the folder one works in, reloaded as its files change."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

from control_plane.cli.dev_session import DevSession, Reload
from control_plane.cli.drafts import expected_etag
from control_plane.cli.failures import ApiProblem, ExitCode, Failure
from control_plane.cli.folder_wake import FolderWake
from control_plane.cli.folder_watch import FolderWatch
from control_plane.cli.output import note
from control_plane.cli.records import failure_lines, record_lines
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, pass_state

__all__ = ["dev"]

# Logs are asked for so often; files that changed without a word are seen then too.
_LOGS_S: Final = 0.5
_RENEW_S: Final = 300.0


@click.command()
@click.argument("function", required=False)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="The function's folder; default: the current one.",
)
@click.option("--force", is_flag=True, help="Replace the draft even when somebody else has changed it.")
@click.option("--keep", is_flag=True, help="Leave the preview running at the end; it ends by itself later.")
@pass_state
def dev(state: CliState, function: str | None, folder: Path, force: bool, keep: bool) -> None:
    """Preview FUNCTION's folder: each saved file is reloaded at once, logs appear as they come."""
    signal.signal(signal.SIGTERM, _stop)
    with state.client(timeout_s=300) as client:
        found = find_function(client, function, folder)
        current = client.send("GET", f"/functions/{found['id']}/draft")
        etag = expected_etag(folder, client.profile.url, found["id"], current, force)
        known = {file["path"]: file["digest"] for file in current.json()["files"]}
        session = DevSession(client, folder, found["id"], etag, FolderWatch(folder, known))
        first = session.start()
        try:
            _show_start(state, session)
            _show_reload(state, first)
            with FolderWake(folder) as wake:
                _work(state, session, wake)
        except KeyboardInterrupt:
            note("Stopped.")
        finally:
            if not keep:
                session.end()


def _work(state: CliState, session: DevSession, wake: FolderWake) -> None:
    logged = renewed = time.monotonic()
    while True:
        try:
            reload = session.turn()
        except ApiProblem as problem:
            if problem.exit_code == ExitCode.CONFLICT:
                raise Failure(
                    "Somebody else changed the draft meanwhile.",
                    hint="See `ingot draft status`; `ingot dev --force` goes on with this folder.",
                    exit_code=ExitCode.CONFLICT,
                ) from problem
            _say(state, "refused", {"message": problem.format_message(), "hint": problem.hint})
            reload = None
        if reload is not None:
            _show_reload(state, reload)
        now = time.monotonic()
        if now - logged >= _LOGS_S:
            logged = now
            _show_records(state, session)
        if now - renewed >= _RENEW_S:
            renewed = now
            session.renew()
        wake.wait(max(0.0, logged + _LOGS_S - time.monotonic()))


def _show_start(state: CliState, session: DevSession) -> None:
    preview = session.preview
    if state.output == "json":
        _say(state, "preview", preview)
        return
    click.echo(f"Preview  {preview['url']}")
    click.echo(f"Key      {preview['key']}")
    note(f"Try it: curl -H 'X-Api-Key: {preview['key']}' --json '{{}}' '{preview['url']}'")
    note("Nobody has reviewed what runs there. Stop with Ctrl-C.")


def _show_reload(state: CliState, reload: Reload) -> None:
    loaded = reload.preview["loaded"]
    if state.output == "json":
        times = {"ms": round(reload.ms, 1), "load_ms": loaded["ms"], "phases": reload.phases}
        _say(state, "reloaded", {**loaded, **times, "changed": reload.changed})
    elif loaded["ok"]:
        note(f"Loaded {', '.join(reload.changed) or 'the draft'} in {reload.ms:.0f} ms.")
    else:
        for line in failure_lines(loaded["code"], loaded["message"]):
            note(line)


def _show_records(state: CliState, session: DevSession) -> None:
    for record in session.records():
        if state.output == "json":
            _say(state, "log", record)
        else:
            for line in record_lines(record):
                click.echo(line)


def _say(state: CliState, what: str, body: dict[str, Any]) -> None:
    if state.output == "json":
        click.echo(json.dumps({"event": what, **body}, ensure_ascii=False))
        return
    note(str(body.get("message", "")))
    if body.get("hint"):
        note(f"Hint: {body['hint']}")


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
