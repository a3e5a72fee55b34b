"""The host asks the kernel whether a warm template confined an instance, and runs none that it did not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from control_plane.adapters.embedded.host.confinement import Confinement
from tests.support.function_host import ROOT, FunctionHost, until

_SANDBOX = ROOT / "templates" / "sandbox"


def test_a_process_that_nobody_confined_is_named_as_such() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        missing = Confinement(_SANDBOX, "namespaces").missing(process.pid)
        process.communicate(b"\n", timeout=20)
    assert "its system call filter is not the final one" in missing


def test_an_ended_process_lacks_nothing_its_end_is_told_elsewhere() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(20)
    assert Confinement(_SANDBOX, "namespaces").missing(process.pid) == ""


@pytest.fixture
def doubting() -> Iterator[FunctionHost]:
    """A host whose sandbox finds fault with every instance of a warm template."""
    host = FunctionHost(level2_delay_s=0.05)
    sandbox = host.folder / "sandbox"
    shutil.copytree(_SANDBOX, sandbox)
    verify = sandbox / "ingot_sandbox" / "verify.py"
    verify.write_text(
        verify.read_text() + "\ndef unconfined(pid, level, filters):\n    return ['it has doubts']\n"
    )
    for path in (sandbox, *sandbox.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    host.config["sandbox"] = str(sandbox)
    with host:
        yield host


def test_an_unconfined_instance_of_a_warm_template_runs_no_code(doubting: FunctionHost) -> None:
    target = doubting.target()
    doubting.apply()
    # Level 1 is trusted, so the first call is answered.
    assert doubting.call(target)[0] == 200
    until(lambda: _warm(doubting), what="a level-2 template")
    doubting.ask({"op": "retire", "target": target.id})
    until(lambda: not doubting.status(target)["instances"])
    status, answer = doubting.call(target)
    assert (status, answer["code"]) == (503, "isolation_unavailable")
    assert "it has doubts" in doubting.log.read_text()
    assert [record["level"] for record in doubting.records("start")] == [1]


def _warm(host: FunctionHost) -> bool:
    templates = host.ask({"op": "status"})["templates"]
    return any(template.get("target") and template["state"] == "ready" for template in templates)
