"""Run probes in one of the situations that the sandbox must hold in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SANDBOX = HERE.parents[1] / "templates" / "sandbox"
MARKER = "canary-9f1c2b"
# Nobody's: what a person of this machine runs would count against its limits.
ORDINARY_USER = 61_707
FUNCTION_USER = 20_001


@dataclass(frozen=True)
class Situation:
    """Who runs which level, and what runs the probes: an instance of level 1 or 2, or the template."""

    user: str
    level: str
    kind: str

    def __str__(self) -> str:
        return f"{self.user}-{self.level}-{self.kind}"


SITUATIONS = [
    Situation(user, level, kind)
    for user in ("root", "ordinary")
    for level in ("namespaces", "landlock")
    for kind in ("instance", "nested", "template")
]


def interpreter() -> str:
    """Return the interpreter's own file, which an ordinary user can run too."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def run_probes(situation: Situation, probes: Sequence[str]) -> dict[str, Any]:
    """Return the driver's answer; the folder it works in is removed."""
    work = Path(tempfile.mkdtemp(prefix="ingot-probe-"))
    try:
        _furnish(work)
        done = subprocess.run(
            [interpreter(), "-I", "-S", str(HERE / "driver.py")],
            input=json.dumps(_config(situation, probes, work)),
            env={"HOST_SECRET": MARKER},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
    finally:
        shutil.rmtree(work)


def _furnish(work: Path) -> None:
    for folder in ("layers/mine", "layers/other", "tmp"):
        (work / folder).mkdir(parents=True)
    shutil.copy(HERE / "probes.py", work / "layers/mine/probes.py")
    (work / "layers/other/secret.py").write_text("KEY = 1\n")
    (work / "secret.txt").write_text("secret\n")
    for path in (work, *work.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)


def _config(situation: Situation, probes: Sequence[str], work: Path) -> dict[str, Any]:
    become_ordinary = situation.user == "ordinary" and os.geteuid() == 0
    return {
        "sandbox": str(SANDBOX),
        "work": str(work),
        "level": situation.level,
        "kind": situation.kind,
        "user": ORDINARY_USER if become_ordinary else 0,
        "uid": FUNCTION_USER if situation.user == "root" else -1,
        "marker": MARKER,
        "probes": list(probes),
    }
