"""Which isolation levels this machine gives this user: by trying them, in a child each.

`ingot doctor` prints the sentences; the function host asks `choose`. Nothing
here confines the calling process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from ingot_sandbox import base, become, cgroups, enter, landlock
from ingot_sandbox.spec import LANDLOCK, NAMESPACES, IsolationUnavailable, SandboxSpec

__all__ = ["choose", "probe"]

_TIMEOUT_S = 10.0
# Nobody's number: only for the attempt as root.
_TRIAL_UID = 65_533
_HINTS = {
    "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sysctl kernel.unprivileged_userns_clone=1"),
    "/proc/sys/user/max_user_namespaces": ("0", "sysctl user.max_user_namespaces=10000"),
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
}
_PROMISES = {
    NAMESPACES: "each instance has processes, files, /tmp, IPC and network of its own",
    LANDLOCK: "instances see only their files and cannot signal others, but share the machine's process "
    "numbers, file names and one user; one organization only",
}


def probe() -> dict[str, Any]:
    """Return {"levels": [...], "facts": [{"name", "ok", "value", "sentence"}, ...]}, best level first."""
    namespaces, nested, confined = _try_level(NAMESPACES), _try_nested(NAMESPACES), _try_level(LANDLOCK)
    facts = [
        _level_fact(NAMESPACES, namespaces, _namespace_hint() if namespaces else ""),
        _nested_fact(nested),
        _level_fact(LANDLOCK, confined, ""),
        _landlock_fact(),
        *_cgroup_facts(),
    ]
    levels = [name for name, failure in ((NAMESPACES, namespaces), (LANDLOCK, confined)) if not failure]
    return {"levels": levels, "facts": facts}


def choose(wanted: str = "") -> str:
    """Return the strongest level, or the wanted one. Raises IsolationUnavailable."""
    failures = []
    for level in (wanted,) if wanted else (NAMESPACES, LANDLOCK):
        if not (failure := _try_level(level)):
            return level
        failures.append(f"{level}: {failure}")
    raise IsolationUnavailable("no isolation is available here; " + "; ".join(failures) + _namespace_hint())


def _fact(name: str, ok: bool, value: object, sentence: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "value": value, "sentence": sentence}


def _level_fact(level: str, failure: str, hint: str) -> dict[str, Any]:
    if failure:
        return _fact(level, False, "", f"Isolation level {level} is not available: {failure}{hint}")
    return _fact(level, True, "", f"Isolation level {level} works: {_PROMISES[level]}.")


def _nested_fact(failure: str) -> dict[str, Any]:
    if failure:
        sentence = (
            f"User namespaces cannot be made for warm templates, so every start imports anew: {failure}"
        )
        return _fact("warm_templates", False, "", sentence)
    return _fact(
        "warm_templates", True, "", "Warm templates can be sandboxed in user namespaces of their own."
    )


def _landlock_fact() -> dict[str, Any]:
    version = landlock.abi()
    if not version:
        return _fact("landlock_abi", False, 0, "This kernel has no Landlock (Linux 5.13 or newer offers it).")
    missing = landlock.lacks(version)
    rest = f"; it lacks {', '.join(missing)}, which the seccomp filter refuses instead" if missing else ""
    return _fact("landlock_abi", True, version, f"Landlock has ABI {version}{rest}.")


def _cgroup_facts() -> list[dict[str, Any]]:
    groups = cgroups.Groups(f"ingot-probe-{os.getpid()}")
    try:
        return [_fact(name, ok, groups.version, sentence) for name, ok, sentence in groups.explain()]
    finally:
        groups.close()


def _namespace_hint() -> str:
    hints = []
    for path, (bad, remedy) in _HINTS.items():
        with contextlib.suppress(OSError), open(path) as file:
            if file.read().strip() == bad:
                hints.append(remedy)
    return f" (an administrator can allow it: {', '.join(hints)})" if hints and os.geteuid() != 0 else ""


def _try_level(level: str) -> str:
    return _in_child(lambda status: _start(level, status, nested=False))


def _try_nested(level: str) -> str:
    return _in_child(lambda status: _start(level, status, nested=True))


def _start(level: str, status: int, nested: bool) -> None:
    """Start one instance that says `ok`, in the trial's child."""
    uid = _TRIAL_UID if level == NAMESPACES and os.geteuid() == 0 else -1
    spec = SandboxSpec(uid=uid, status=status, death_signal=0)
    prepared = base.prepare(level, ())
    if nested and not become.become_template(prepared, spec):
        return
    if enter.spawn_instance(prepared, spec):
        os.write(status, b"ok")


def _in_child(action: Callable[[int], None]) -> str:
    """Run in a forked child; return "" or why it failed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            action(writer)
        except BaseException as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        answer = _read_all(reader)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return "" if answer == "ok" else answer or "the trial instance gave no answer"


def _read_all(reader: int) -> str:
    """Read until all writers have ended, so that a trial leaves no process behind."""
    text, end = b"", time.monotonic() + _TIMEOUT_S
    while (left := end - time.monotonic()) > 0:
        if not select.select([reader], [], [], left)[0]:
            break
        if not (part := os.read(reader, 4096)):
            break
        text += part
    return text.decode(errors="replace")
