"""Runs uv: confined, with the operator's index and nothing else of the environment.

The only module that knows where uv is and which folders it may write. What is
resolved or installed is decided by `builders.lock` and `builders.dependencies`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from builders.confine import Confinement, Outcome, interpreter, run_confined
from builders.errors import BuildError
from builders.index_settings import index_environment, without_credentials

__all__ = ["failing_lines", "is_unreachable", "run_uv"]

# A cap on what an author is shown.
_SHOWN_LINES = 12
_UNREACHABLE = ("error sending request", "dns error", "Connection refused", "tcp connect error", "timed out")


def run_uv(arguments: Sequence[str], work: Path, cache_dir: Path, timeout_s: float) -> Outcome:
    """Run uv in `work`; it may write there and in its cache only."""
    import uv

    cache = cache_dir / "uv"
    cache.mkdir(parents=True, exist_ok=True)
    (work / "tmp").mkdir(exist_ok=True)
    caller = dict(os.environ)
    environment = index_environment(caller) | {
        "HOME": str(work),
        "PATH": "/nonexistent",
        "TMPDIR": str(work / "tmp"),
        "LC_ALL": "C.UTF-8",
        "UV_CACHE_DIR": str(cache),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "UV_KEYRING_PROVIDER": "disabled",
        "NO_COLOR": "1",
    }
    netrc = Path(caller.get("HOME", "/nonexistent")) / ".netrc"
    if "NETRC" not in environment and netrc.is_file():
        environment["NETRC"] = str(netrc)
    try:
        return run_confined(
            [uv.find_uv_bin(), *arguments, "--python", str(interpreter())],
            Confinement(
                writable=(work, cache),
                executable=(interpreter(),),
                environment=environment,
                timeout_s=timeout_s,
            ),
        )
    except OSError as error:
        raise BuildError(
            "confinement_failed",
            f"uv could not be started: {error}.",
            hint="Install Ingot's requirements again: uv is one of them.",
        ) from error


def failing_lines(output: str) -> tuple[str, ...]:
    """Return uv's own complaint, from its error on, without credentials."""
    lines = [without_credentials(line.rstrip()) for line in output.splitlines() if line.strip()]
    starts = [
        number
        for number, line in enumerate(lines)
        if line.lstrip().startswith(("error:", "×", "x ", "Caused by"))
    ]
    return tuple(lines[starts[0] if starts else -_SHOWN_LINES :][:_SHOWN_LINES])


def is_unreachable(output: str) -> bool:
    """Say whether uv failed because no index answered, rather than for what it found there."""
    return any(sign in output for sign in _UNREACHABLE)
