"""The running API keeps what its own description says: every check, every phase, as an owner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.system import System, running_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

_CONFIG = Path(__file__).with_name("schemathesis.toml")
_HELLO = {
    "main.py": "def execute(input, context):\n    return {'hello': 'you'}\n",
    "ingot.toml": 'handler = "main:execute"\n',
}
# What would end the very credential that everything else is tried with.
_ENDS_THE_TOKEN = ("DELETE /api/v1/tokens/{token}",)
# An answer without an end; tests/api/test_event_stream.py.
_ENDLESS = ("/api/v1/stream",)


def try_it(system: System, *options: str) -> None:
    """Run schemathesis; AssertionError with what it found."""
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        str(_CONFIG),
        "run",
        f"{system.console}/api/v1/openapi.json",
        "--checks=all",
        "--seed=1",
        "--no-color",
        "--continue-on-failure",
        f"--header=Authorization: {system.people['owner'].http.headers['authorization']}",
        *(f"--exclude-path={path}" for path in _ENDLESS),
        *(f"--exclude-name={name}" for name in _ENDS_THE_TOKEN),
        *options,
    ]
    environment = {
        **os.environ,
        "COLUMNS": "120",
        "PYTHONPATH": str(_CONFIG.parents[2]),
        "SCHEMATHESIS_HOOKS": "tests.e2e.schemathesis_hooks",
    }
    # It leaves its database of examples where it runs.
    done = subprocess.run(
        command, cwd=system.folder, env=environment,
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    report = done.stdout[done.stdout.find("= FAILURES =") :][:6000] + done.stdout[-3000:]
    assert done.returncode == 0, report


def test_the_running_api_keeps_its_description() -> None:
    with running_system() as system:
        system.publish("hello", _HELLO)
        try_it(system, "--phases=examples,coverage,fuzzing,stateful", "--max-examples=3", "--max-time=150")
        written = (system.data / "logs" / "api.log").read_text("utf-8")
        assert '"unhandled error"' not in written
