"""The attacks do work where nothing stops them: a probe that could not leak would prove nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.hostile_functions import ANSWERING, CANARY, Probe

# Runs a probe's source as the host would, but with nothing around it.
_UNPROTECTED = """
import json, sys
facts = json.loads(sys.stdin.readline())
space = {"__file__": facts["source"], "__name__": "main"}
exec(compile(open(facts["source"]).read(), facts["source"], "exec"), space)
print(json.dumps(space["execute"](facts, None)))
"""
# A process number space of its own, as some of these attack whatever they find.
_ALONE = [
    "unshare",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "sh",
    "-c",
    'sleep 60 & exec "$@"',
    "sh",
]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="a process number space of its own needs root")
@pytest.mark.parametrize("probe", [one for one in ANSWERING if one.control], ids=lambda probe: probe.name)
def test_a_probe_leaks_without_a_sandbox(probe: Probe, tmp_path: Path) -> None:
    source = tmp_path / "probe.py"
    source.write_text(probe.source)
    held = tmp_path / "held"
    held.mkdir()
    (held / "secret").write_text(CANARY)
    with (
        socket.socket(socket.AF_UNIX) as path,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket() as tcp,
    ):
        path.bind(str(tmp_path / "s.sock"))
        abstract.bind("")
        tcp.bind(("127.0.0.1", 0))
        for one in (path, abstract, tcp):
            one.listen(8)
        facts = {
            "source": str(source),
            "files": [str(held / "secret")],
            "roots": [str(held)],
            "sockets": [str(tmp_path / "s.sock")],
            "ports": [tcp.getsockname()[1]],
            "pids": [2],
            "abstract": abstract.getsockname().hex(),
        }
        folder = os.open(held, os.O_RDONLY)
        done = subprocess.run(
            [*_ALONE, sys.executable, "-I", "-c", _UNPROTECTED],
            input=json.dumps(facts) + "\n",
            env={"PATH": os.environ["PATH"], "CANARY_OF_HOST": CANARY},
            pass_fds=[folder],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        os.close(folder)
    assert done.returncode == 0, done.stderr
    leaks = json.loads(done.stdout)["leaks"]
    assert leaks, "the attack must work where nothing stands in its way"
    expected = [str(held / "secret")] if "files" in probe.name else []
    assert all(any(what in leak for leak in leaks) for what in expected)
