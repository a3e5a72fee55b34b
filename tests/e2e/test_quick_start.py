"""The quick start works: every shell block of the page is run, in order, on a fresh Ingot."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.system import running_system, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "control_plane" / "docs" / "quick-start.md"


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_every_block_of_the_quick_start_works(tmp_path: Path) -> None:
    first, second, *rest = blocks()
    # The system of the test stands for the first two: installed, running, on the PATH.
    assert (first.strip(), second.strip()) == ("make up", 'export PATH="$PWD/.venv/bin:$PATH"')
    with running_system(set_up=False) as system:
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path / "home"),
            "TMPDIR": str(tmp_path),
            "INGOT_URL": system.console,
            "LANG": "C.UTF-8",
        }
        # The page's commands run where `make up` ran, with its data folder beside them.
        (tmp_path / ".ingot").symlink_to(system.data)
        script = "set -eu\n" + "\n".join(
            f"echo '== {number}' >&2\n{block}" for number, block in enumerate(rest, 3)
        )
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        assert (
            done.stdout.count('"greeting": "Hello, Ada!"') + done.stdout.count('"greeting":"Hello, Ada!"')
            >= 3
        ), "the test run, the invocation and curl each show the answer"
        calls = [str(Path(sys.executable).parent / "ingot"), "-o", "json", "invocation", "list"]

        def counted() -> bool:
            done = subprocess.run(
                calls, cwd=tmp_path / "hello", env=environment, capture_output=True, check=True
            )
            return len(json.loads(done.stdout)) == 2

        wait_for(counted, seconds=20, pause=0.2)
