"""Starts, finds and ends the parts' processes.

A part's process moves itself into its own cgroup and writes its own pid before
it becomes the program, so at any moment a killed `up` leaves nothing unknown
behind: who is in a part's cgroup belongs to the part, and nobody else does.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from knative.bootstrap.cgroups import end_processes, make_parts_cgroup, part_cgroup, processes_in
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.files import write_if_changed
from knative.bootstrap.part import Account, Part
from knative.bootstrap.plan import Plan

__all__ = ["log_file", "main_process", "start", "started_at", "started_with", "stop", "tail"]

# The program's own name for the shell is unused; then come the cgroup, the pid file, the command.
# Whoever starts the cluster politely does not make its parts polite.
_ENTER = (
    "renice -n 0 -p $$ >/dev/null 2>&1; "
    'echo $$ > "$1/cgroup.procs" && echo $$ > "$2.new" && mv "$2.new" "$2" && shift 2 && exec "$@"'
)
_LOG_BYTES = 20_000_000
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def log_file(plan: Plan, name: str) -> Path:
    """Return a part's log."""
    return plan.logs / f"{name}.log"


def main_process(plan: Plan, name: str) -> int | None:
    """Return the pid of a running part; None when it does not run, whatever the pid file says."""
    try:
        pid = int(_pid_file(plan, name).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None
    if pid not in processes_in(part_cgroup(plan, name)) or _is_zombie(pid):
        return None
    return pid


def started_with(plan: Plan, name: str) -> str:
    """Return the key that a part was started with."""
    try:
        return str(json.loads(_key_file(plan, name).read_bytes())["key"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ""


def started_at(plan: Plan, name: str) -> dt.datetime:
    """Return when a part was started."""
    try:
        seconds = float(json.loads(_key_file(plan, name).read_bytes())["at"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        seconds = 0.0
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def start(plan: Plan, part: Part, key: str) -> None:
    """Start a part that does not run. Its log goes on where it was."""
    _end_strays(plan, part)
    _wait_until_reaped(plan, part.name)
    cgroup = make_parts_cgroup(plan, part.name)
    plan.run.mkdir(parents=True, exist_ok=True, mode=0o711)
    plan.logs.mkdir(parents=True, exist_ok=True, mode=0o750)
    write_if_changed(_key_file(plan, part.name), json.dumps({"key": key, "at": time.time()}).encode())
    log = log_file(plan, part.name)
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    command = ["/bin/sh", "-c", _ENTER, "enter", cgroup, _pid_file(plan, part.name)]
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [str(word) for word in (*command, *_as_account(part.account), *part.command)],
            env={"PATH": _PATH, "HOME": "/nonexistent", "LANG": "C.UTF-8", **part.environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            cwd="/",
        )
    _wait_for_pid(plan, part.name, process)
    # It outlives this run, so nobody waits for it; without a result Popen would warn.
    process.returncode = 0


def stop(plan: Plan, part: Part) -> None:
    """End a part: ask it, then insist. What its processes were matters no more."""
    name = part.name
    pid = main_process(plan, name)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, part.stop_signal)
        until = time.monotonic() + part.patience
        while main_process(plan, name) == pid and time.monotonic() < until:
            time.sleep(0.02)
        # Only the program itself: what a container runtime leaves behind is for whoever removes pods.
        if main_process(plan, name) == pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _wait_until_gone(pid)
    _wait_until_reaped(plan, name)
    _pid_file(plan, name).unlink(missing_ok=True)
    _key_file(plan, name).unlink(missing_ok=True)


def tail(plan: Plan, name: str, lines: int = 5) -> str:
    """Return the end of a part's log."""
    try:
        with log_file(plan, name).open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 8_192))
            return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _as_account(account: Account | None) -> list[str]:
    if account is None:
        return []
    command = ["setpriv", f"--reuid={account.user}", f"--regid={account.group}", "--clear-groups"]
    if account.capabilities:
        kept = ",".join(f"+{name}" for name in account.capabilities)
        command += [f"--inh-caps={kept}", f"--ambient-caps={kept}"]
    else:
        command += ["--inh-caps=-all"]
    return [*command, "--no-new-privs", "--"]


def _end_strays(plan: Plan, part: Part) -> None:
    """End what an earlier run of the part left in its cgroup, except children that must live on."""
    cgroup = part_cgroup(plan, part.name)
    if not part.keeps_children:
        end_processes(cgroup)
        return
    program = Path(part.command[0]).name
    for pid in processes_in(cgroup):
        if _program(pid) in {program, "sh"}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _wait_until_gone(pid)


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return ""


def _is_zombie(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] in {"Z", "X"}


def _wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 10
    while not _is_zombie(pid):
        if time.monotonic() > until:
            raise ClusterError(f"process {pid} does not end")
        time.sleep(0.02)


def _wait_until_reaped(plan: Plan, name: str) -> None:
    """Wait until the former process is no zombie either: PostgreSQL takes one for a running server."""
    try:
        pid = int(_pid_file(plan, name).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and _is_zombie(pid) and time.monotonic() < until:
        # Whose child it is, is unknown: this run's own, or by now the init process'.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)


def _wait_for_pid(plan: Plan, name: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has taken its place; then its pid is this one."""
    until = time.monotonic() + 10
    while main_process(plan, name) != process.pid:
        if process.poll() is not None or time.monotonic() > until:
            raise ClusterError(f"{name} did not start: {tail(plan, name)}")
        time.sleep(0.005)


def _pid_file(plan: Plan, name: str) -> Path:
    return plan.run / f"{name}.pid"


def _key_file(plan: Plan, name: str) -> Path:
    return plan.run / f"{name}.started.json"
