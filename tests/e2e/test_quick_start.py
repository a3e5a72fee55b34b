"""The quick start works: every shell block of the page is run, in order, on a fresh Ingot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import blocks, environment, walk
from tests.support.system import running_system, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_every_block_of_the_quick_start_works(tmp_path: Path) -> None:
    with running_system(set_up=False) as system:
        walked = walk(system, tmp_path, blocks("quick-start.md"))
        answers = [walked.output.count(f'"greeting":{space}"Hello, Ada!"') for space in ("", " ")]
        assert sum(answers) >= 3, "the test run, the invocation and curl each show the answer"
        calls = [str(Path(sys.executable).parent / "ingot"), "-o", "json", "invocation", "list"]

        def counted() -> bool:
            done = subprocess.run(
                calls,
                cwd=tmp_path / "hello",
                env=environment(system, tmp_path),
                capture_output=True,
                check=True,
            )
            return len(json.loads(done.stdout)) == 2

        wait_for(counted, seconds=20, pause=0.2)
