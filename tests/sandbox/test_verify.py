"""What the kernel says of real instances and of processes that nobody confined."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ingot_sandbox.verify import unconfined

from tests.support.function_host import FunctionHost, until
from tests.support.rights import functions_need_an_open_interpreter

UNCONFINED = ["it can gain privileges by exec", "its system call filter is not the final one"]


@pytest.mark.parametrize(
    "level", ["namespaces", pytest.param("landlock", marks=functions_need_an_open_interpreter)]
)
def test_an_instance_of_a_level_1_template_is_confined(level: str) -> None:
    with FunctionHost(isolation=level, level2_templates=0) as host:
        target = host.target()
        host.apply()
        assert host.call(target)[0] == 200
        pid = host.status(target)["instances"][0]["pid"]
        assert unconfined(pid, level, 1) == []
        # A warm template's instance must have one filter more.
        assert UNCONFINED[1] in unconfined(pid, level, 2)


def test_an_instance_of_a_warm_template_is_confined() -> None:
    with FunctionHost(level2_delay_s=0.05) as host:
        target = host.target()
        host.apply()
        assert host.call(target)[0] == 200
        until(lambda: _warm(host), what="a level-2 template")
        host.ask({"op": "retire", "target": target.id})
        until(lambda: not host.status(target)["instances"])
        assert host.call(target)[0] == 200
        instance = host.status(target)["instances"][0]
        assert instance["level"] == 2
        assert unconfined(instance["pid"], "namespaces", 2) == []


def _warm(host: FunctionHost) -> bool:
    templates = host.ask({"op": "status"})["templates"]
    return any(template.get("target") and template["state"] == "ready" for template in templates)


@pytest.mark.parametrize("level", ["namespaces", "landlock"])
def test_a_process_that_nobody_confined_is_not_let_through(level: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        found = unconfined(process.pid, level, 1)
        process.communicate(b"\n", timeout=20)
    assert found[:2] == UNCONFINED
    assert ("it shares its process numbers with others" in found) == (level == "namespaces")


def test_without_isolation_nothing_is_demanded() -> None:
    assert unconfined(1, "none", 1) == []


def test_an_ended_process_is_no_confined_one() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(20)
    with pytest.raises(ProcessLookupError):
        unconfined(process.pid, "namespaces", 1)
