"""Runs a command confined, with a time limit, and returns what it wrote.

The confinement itself is `confine_child.py`, a script of its own: a
`preexec_fn` could deadlock in a process with threads. What is run, and why,
may not live here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builders.errors import BuildError

__all__ = ["Confinement", "Outcome", "interpreter", "run_confined"]

_CHILD = Path(__file__).with_name("confine_child.py")
# The dynamic loader is executed on behalf of every program.
_LOADERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_KEPT_OUTPUT = 200_000


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a command may do."""

    # Folders below which it may write; it starts in the first.
    writable: tuple[Path, ...]
    # Programs it may execute beside itself.
    executable: tuple[Path, ...] = ()
    # The whole environment.
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 120.0
    # The largest file it may write.
    file_bytes: int = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended. Both streams are one text, cut at the front when long."""

    status: int
    output: str


def interpreter() -> Path:
    """Return this Python's own file, links resolved: an environment's link may not be executed."""
    return Path(sys.executable).resolve()


def run_confined(command: Sequence[str], confinement: Confinement) -> Outcome:
    """Run a command to its end. Raises BuildError `timed_out` or `confinement_failed`."""
    program = Path(command[0]).resolve()
    rules = {
        "parent": os.getpid(),
        "limits": {
            "RLIMIT_CORE": 0,
            "RLIMIT_CPU": int(confinement.timeout_s) + 60,
            "RLIMIT_FSIZE": confinement.file_bytes,
            "RLIMIT_NOFILE": 4_096,
        },
        "writable": ["/dev/null", *map(str, confinement.writable)],
        "executable": [str(program), *map(str, confinement.executable), *_LOADERS],
    }
    full = [str(interpreter()), "-I", "-S", str(_CHILD), json.dumps(rules), str(program), *command[1:]]
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            full,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=confinement.writable[0],
            env=dict(confinement.environment),
            start_new_session=True,
        )
        try:
            status = child.wait(confinement.timeout_s)
        except subprocess.TimeoutExpired:
            raise BuildError(
                "timed_out",
                f"{program.name} ran longer than {confinement.timeout_s:g} s and was ended.",
                hint="Try again; if it stays so, depend on less or look at the index.",
                log=_lines(_tail(output.fileno())),
            ) from None
        finally:
            # The whole session, so that nothing it started outlives it.
            _end(child)
        return Outcome(status, _tail(output.fileno()))


def _end(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _tail(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    content = os.pread(descriptor, _KEPT_OUTPUT, max(0, size - _KEPT_OUTPUT))
    return content.decode("utf-8", errors="replace")


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.splitlines()[-20:])
