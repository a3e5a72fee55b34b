"""`ingot up`, `down`, `status`, `doctor` and the hidden `_run`: commands of the machine, not of the API."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from control_plane.cli.machine import (
    data_option,
    file_in_force,
    load_machine,
    locate_machine,
    output_option,
    settings_option,
)
from control_plane.errors import IngotError, Unavailable

__all__ = ["COMMANDS"]

# Running calls are finished first, which a function's time limit bounds.
_DOWN_S = 120
# role -> module and function
_ROLES = {
    "prepare": ("control_plane.roles", "prepare"),
    "host": ("control_plane.roles", "host"),
    "meter": ("control_plane.meter.main", "run"),
    "worker": ("control_plane.events.worker", "run"),
    "follower": ("control_plane.events.follower", "run"),
    "api": ("control_plane.api.serving", "run"),
    "streams": ("control_plane.api.streams", "run"),
}


@click.command()
@data_option
@settings_option
@click.option("--detach", is_flag=True, help="Return when Ingot is ready; stop it with `ingot down`.")
@click.option(
    "--insecure-no-sandbox", is_flag=True, help="Run functions without isolation: only your own code."
)
def up(data: Path, settings_file: Path | None, detach: bool, insecure_no_sandbox: bool) -> None:
    """Start Ingot on this machine and keep it running."""
    from dataclasses import replace

    from control_plane.supervisor.up import run_up

    file = file_in_force(data, settings_file)
    settings = load_machine(data, file)
    if insecure_no_sandbox:
        settings = replace(settings, host=replace(settings.host, isolation="none"))
    if not detach:
        run_up(settings, file, click.echo, lambda: click.echo(_next_steps(settings)))
        return
    reading = _detach(lambda say, ready: run_up(settings, file, say, ready), settings.data)
    with os.fdopen(reading) as told:
        lines = told.read().splitlines()
    is_ready = lines[-1:] == ["ready"]
    for line in lines[:-1] if is_ready else lines:
        click.echo(line, err=True)
    if not is_ready:
        raise SystemExit(1)
    click.echo(_next_steps(settings))


@click.command()
@data_option
def down(data: Path) -> None:
    """Stop the Ingot that runs on this data folder; running calls are finished first."""
    from control_plane.supervisor.lock import is_held

    settings = locate_machine(data)
    if _ask(settings.run, b"stop") is None:
        click.echo("Ingot is not running here.")
        return
    deadline = time.monotonic() + _DOWN_S
    # To the very end: whoever starts it again at once must find the data folder free.
    while is_held(settings.data):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"Ingot is still stopping after {_DOWN_S} seconds.",
                hint=f"Its log is {settings.data}/logs/supervisor.log",
            )
        time.sleep(0.05)
    click.echo("Stopped.")


@click.command()
@data_option
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="Output format.")
def status(data: Path, output: str) -> None:
    """Show the processes of the Ingot on this data folder."""
    run = locate_machine(data).run
    state = _ask(run, b"status")
    if state is not None:
        state["host"] = _ask_host(run)
    if output == "json":
        click.echo(json.dumps(state))
    elif state is None:
        click.echo("Ingot is not running here. Start it with `ingot up`.")
    else:
        for name, role in state["roles"].items():
            what = "ready" if role["ready"] else "starting" if role["pid"] else "down"
            click.echo(f"{name:<10} {what:<10} pid {role['pid']:<8} restarts {role['restarts']}")
    if state is None:
        raise SystemExit(6)


@click.command()
@data_option
@settings_option
@output_option
def doctor(data: Path, settings_file: Path | None, output: str) -> None:
    """Say what this machine offers and lacks, and what to do about it."""
    from dataclasses import asdict

    from control_plane.supervisor.doctor import examine

    facts = list(examine(load_machine(data, settings_file)))
    if output == "json":
        click.echo(json.dumps([asdict(fact) for fact in facts], indent=2, ensure_ascii=False))
        return
    for fact in facts:
        line = f"{'ok' if fact.ok else '--'}  {fact.sentence}"
        click.echo(f"{line} {fact.hint}" if fact.hint else line)


@click.command(name="_run", hidden=True)
@click.argument("role", type=click.Choice(sorted(_ROLES)))
def run_role(role: str) -> None:
    """Run one process; the supervisor's business."""
    import importlib

    document = json.loads(Path(os.environ["INGOT_CONFIG"]).read_text())
    module, function = _ROLES[role]
    getattr(importlib.import_module(module), function)(document)


COMMANDS = (up, down, status, doctor, run_role)


def _ask_host(run: Path) -> dict[str, Any] | None:
    """Return what the function host runs, in short; None while it does not answer."""
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(2)
            channel.connect(str(run / "host.sock"))
            channel.sendall(b'{"op": "status"}\n')
            with channel.makefile() as answers:
                found = json.loads(answers.readline())
    except (OSError, ValueError):
        return None
    targets = found["targets"].values()
    instances = [instance for target in targets for instance in target["instances"]]
    return {name: found[name] for name in ("isolation", "memory_mb", "level2", "templates", "retiring")} | {
        "targets": len(targets),
        "instances": len(instances),
        "busy": sum(1 for instance in instances if instance["busy"]),
    }


def _next_steps(settings: Any) -> str:
    link = settings.data / "keys" / "owner-link"
    lines = [
        "Ingot is ready.",
        f"  console and API  {settings.console_url}",
        f"  functions        {settings.functions_url}",
        f"  isolation        {_isolation(settings.data)}",
    ]
    if link.exists():
        lines.append(f"  first owner      {settings.console_url}/welcome#token={link.read_text().strip()}")
    lines.append("  next             make demo, ingot --help, ingot doctor, make down")
    return "\n".join(lines)


def _isolation(data: Path) -> str:
    """Say at which level functions run, and what a weaker one means."""
    level = json.loads((data / "config" / "host.json").read_text())["isolation"]
    meaning = {
        "namespaces": "namespaces (the strongest level)",
        "landlock": "landlock: this machine allows no namespaces, so this is for one organization only",
        "none": "NONE: functions can read and change whatever you can",
    }
    return meaning[level]


def _detach(body: Callable[[Callable[[str], None], Callable[[], None]], None], data: Path) -> int:
    """Run `body` in a process of its own session; return where it tells how it went."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        return reading
    os.close(reading)
    os.setsid()
    if os.fork():
        os._exit(0)

    def say(line: str) -> None:
        os.write(writing, f"{line}\n".encode())

    def ready() -> None:
        say("ready")
        os.close(writing)

    code = 0
    try:
        _redirect(data)
        body(say, ready)
    except IngotError as error:
        say(f"{error.message} {error.hint or ''}".strip())
        code = 1
    except BaseException as error:  # noqa: BLE001 - the last frame of this process, which must report everything
        code = 1
        traceback.print_exc()
        with contextlib.suppress(OSError):
            say(f"Ingot stopped: {error!r}. Its log is {data}/logs/supervisor.log")
    finally:
        # Nothing of the command that was forked from may run on in this process.
        os._exit(code)


def _redirect(data: Path) -> None:
    (data / "logs").mkdir(parents=True, exist_ok=True)
    log = os.open(data / "logs" / "supervisor.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    sys.stdout.flush()
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)


def _ask(run: Path, question: bytes) -> Any:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(5)
        try:
            channel.connect(str(run / "supervisor.sock"))
            channel.sendall(question + b"\n")
            return json.loads(channel.makefile().readline())
        except (OSError, ValueError):
            return None
