"""`ingot up`: everything from the lock to the last process's end.

The order matters: lock, leftovers, folders, keys, migrations, listeners, roles.
What a role does is not known here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from control_plane.adapters.gateway.draining import has_drained
from control_plane.adapters.gateway.start import command, write_first_files
from control_plane.bootstrap.gateway import keep_configured_certificate, make_gateway_settings
from control_plane.errors import Unavailable
from control_plane.settings import Settings
from control_plane.supervisor.folders import (
    Identities,
    choose_identities,
    make_folders,
    refuse_unreachable,
    remove_sockets,
)
from control_plane.supervisor.isolation import choose_isolation
from control_plane.supervisor.keys import load_keys, shared_keys, write_private
from control_plane.supervisor.listeners import open_listeners
from control_plane.supervisor.lock import RunLock, start_time
from control_plane.supervisor.loop import Supervisor
from control_plane.supervisor.roles import Plan, Role, plan_replica, plan_roles

__all__ = ["checkout", "run_up"]

# Of the starter's environment, services see only this much.
_KEPT = (
    *("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    # In a pod, where its cluster's API server is.
    *("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"),
)
# What names a package index or the way to it; only freezing, in the api, needs it.
_INDEX_PREFIXES = (
    "PIP_",
    "UV_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)


def checkout() -> Path:
    """Return the folder that holds the code that runs."""
    return Path(__file__).resolve().parents[2]


def run_up(
    settings: Settings, file: Path | None, say: Callable[[str], None], on_ready: Callable[[], None]
) -> None:
    """Run Ingot in the foreground until it is told to stop.

    `file` is where the settings were read from, `say` gets sentences for the
    person, `on_ready` is called once when every role serves. Raises IngotError
    with an instruction when it cannot start.
    """
    # The services write files for one another: the starter's mask must neither close nor open them.
    # Who may pass is decided by the folders, and what is secret has a mode of its own.
    os.umask(0o022)
    identities = choose_identities(settings, (checkout(), Path(sys.executable)))
    if identities.shared_because:
        say(identities.shared_because)
    isolation = _isolation(settings)
    refuse_unreachable(identities, isolation)
    make_folders(settings, identities, isolation)
    lock = RunLock(settings.data)
    try:
        lock.end_leftovers()
        remove_sockets(settings.run)
        keys = _keys(settings)
        _write_documents(settings, identities, isolation)
        if not settings.gateway.replica:
            _prepare(settings, identities, keys)
        facts = {
            "pid": os.getpid(),
            "console": settings.console_url,
            "functions": settings.functions_url,
            "settings": str(file.absolute()) if file else "",
        }
        plan = Plan(
            roles=_roles(settings, identities),
            commands=_commands(settings, identities),
            run=settings.run,
            logs=settings.data / "logs",
            log_bytes=settings.retention.process_log_mb << 20,
            secrets=keys,
            listeners=open_listeners(settings),
            drained={"gateway": lambda: has_drained(make_gateway_settings(settings, asdict(identities)))},
        )

        def record(state: dict[str, Any]) -> None:
            lock.record({**facts, "began": start_time(os.getpid()), **state})

        Supervisor(plan, record=record, on_ready=on_ready).run()
        remove_sockets(settings.run)
    finally:
        lock.release()


def _roles(settings: Settings, identities: Identities) -> tuple[Role, ...]:
    if settings.gateway.replica:
        return plan_replica(identities)
    return plan_roles(identities, settings.host.drain_s)


def _isolation(settings: Settings) -> str:
    """Return the level at which functions run; no function runs beside one more gateway."""
    wanted = settings.host.isolation
    # It is part of the targets' names, so it is the level of the Ingot that made them.
    return wanted if settings.gateway.replica and wanted != "auto" else choose_isolation(wanted)


def _keys(settings: Settings) -> dict[str, str]:
    folder, given = settings.data / "keys", settings.identity.keys_folder
    if settings.gateway.replica:
        return shared_keys(Path(given) if given else folder, ("hop",))
    return load_keys(folder, Path(given) if given else None)


def _environment(role: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    if role == "api":
        kept |= {name: value for name, value in os.environ.items() if name.startswith(_INDEX_PREFIXES)}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


def _commands(settings: Settings, identities: Identities) -> dict[str, tuple[list[str], Mapping[str, str]]]:
    commands: dict[str, tuple[list[str], Mapping[str, str]]] = {}
    for role in _roles(settings, identities):
        if role.name == "gateway":
            gateway = make_gateway_settings(settings, asdict(identities))
            keep_configured_certificate(settings, gateway)
            write_first_files(gateway)
            commands[role.name] = (command(gateway), _environment(role.name))
        else:
            commands[role.name] = _role_command(settings, role.name)
    return commands


def _role_command(settings: Settings, role: str) -> tuple[list[str], Mapping[str, str]]:
    document = settings.data / "config" / f"{role}.json"
    environment = _environment(role) | {"INGOT_CONFIG": str(document), "HOME": str(settings.data / "cache")}
    return [sys.executable, "-m", "control_plane.cli.main", "_run", role], environment


def _write_documents(settings: Settings, identities: Identities, isolation: str) -> None:
    document = json.loads(settings.document())
    document["identities"] = {
        "effective": os.geteuid(),
        "control": identities.control,
        "gateway": identities.gateway,
        "group": identities.group,
    }
    document["isolation"] = isolation
    for role in ("prepare", "host", "meter", "worker", "follower", "api", "streams"):
        path = settings.data / "config" / f"{role}.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(document | {"role": role}, indent=1, sort_keys=True))
        temporary.chmod(0o644)
        temporary.rename(path)


def _prepare(settings: Settings, identities: Identities, keys: Mapping[str, str]) -> None:
    """Migrate the databases under the control user's rights; leave a link while there is no owner."""
    reading, writing = os.pipe()
    os.write(writing, json.dumps(dict(keys)).encode())
    os.close(writing)
    argv, environment = _role_command(settings, "prepare")
    try:
        outcome = subprocess.run(
            argv,
            env={**environment, "INGOT_SECRETS_FD": str(reading)},
            pass_fds=(reading,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            user=identities.control,
            group=identities.group,
            extra_groups=None if identities.group is None else [identities.group],
            check=False,
        )
    finally:
        os.close(reading)
    if outcome.returncode != 0:
        lines = outcome.stderr.strip().splitlines() or ["no reason given"]
        raise Unavailable(
            f"The databases could not be prepared: {lines[-1]}",
            hint=f"The data folder is {settings.data}; nothing was started.",
        )
    link, claim = settings.data / "keys" / "owner-link", outcome.stdout.strip()
    if claim:
        write_private(link, claim)
    else:
        # There is an owner: a link that does nothing must not lie around.
        link.unlink(missing_ok=True)
