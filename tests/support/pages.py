"""Runs the shell blocks of a guide as a reader would, on a running Ingot that stands for `make up`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.support.system import System

__all__ = ["Walked", "blocks", "environment", "walk"]

_ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What the running Ingot of a test stands for: installed, started, on the PATH.
_DONE = ("make up", 'export PATH="$PWD/.venv/bin:$PATH"')


@dataclass(frozen=True, slots=True)
class Walked:
    """What a reader saw, and how long each block took them."""

    output: str
    notes: str
    seconds: tuple[float, ...]


def blocks(page: str) -> list[str]:
    """Return the shell blocks of a guide, without the installation that it must begin with."""
    first, second, *rest = _BLOCK.findall((_ROOT / "control_plane" / "docs" / page).read_text("utf-8"))
    assert (first.strip(), second.strip()) == _DONE
    return rest


def environment(system: System, folder: Path) -> dict[str, str]:
    """Return the environment of somebody with an empty home."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder),
        "INGOT_URL": system.console,
        "LANG": "C.UTF-8",
    }


def walk(system: System, folder: Path, commands: list[str]) -> Walked:
    """Type the blocks one after another in one shell; AssertionError when a command fails."""
    # The page's commands run where `make up` ran, with its data folder beside them.
    (folder / ".ingot").symlink_to(system.data)
    script = "set -eu\n" + "".join(f'{block}\necho "@@ $(date +%s.%N)" >&2\n' for block in commands)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'echo "@@ $(date +%s.%N)" >&2\n{script}'],
        cwd=folder,
        env=environment(system, folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    moments = [float(moment) for moment in re.findall(r"^@@ ([\d.]+)$", done.stderr, re.MULTILINE)]
    assert len(moments) == len(commands) + 1
    spent = tuple(after - before for before, after in pairwise(moments))
    return Walked(done.stdout, done.stderr, spent)
