"""Runs other programs to their end, with a limit in time, and turns their failures into sentences."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from knative.bootstrap.errors import ClusterError

__all__ = ["run", "succeeds"]

_SHOWN = 2_000


def run(
    command: Sequence[str | Path],
    *,
    given: str = "",
    timeout: float = 60,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Return what the program printed. Raises ClusterError with what it said when it failed."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            check=False,
        )
    except FileNotFoundError:
        raise ClusterError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"`{_shown(command)}` did not end within {timeout:.0f} s") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-_SHOWN:]
        raise ClusterError(f"`{_shown(command)}` failed ({done.returncode}): {said}")
    return done.stdout


def succeeds(command: Sequence[str | Path], *, timeout: float = 20) -> bool:
    """Say whether the program ends well; one that is not there does not."""
    try:
        run(command, timeout=timeout)
    except ClusterError:
        return False
    return True


def _shown(command: Sequence[str | Path]) -> str:
    words = [str(word) for word in command]
    return " ".join(words[:6]) + (" ..." if len(words) > 6 else "")
