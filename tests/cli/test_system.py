"""`ingot up`, `down`, `status` and `doctor` as a person runs them, on data of the test's own."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


class Shell:
    """Runs `ingot` with its data and ports."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.settings = folder / "elsewhere.toml"
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            self.ports = one.getsockname()[1], two.getsockname()[1]
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "INGOT_LISTEN_CONSOLE_PORT": str(self.ports[0]),
            "INGOT_LISTEN_FUNCTIONS_PORT": str(self.ports[1]),
        }

    def run(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "control_plane.cli.main", *arguments, "--data", str(self.data)]
        # A process that stays must not hold a pipe of the test open.
        return subprocess.run(
            command,
            cwd=_ROOT,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


@pytest.fixture
def shell() -> Iterator[Shell]:
    # Short, and open to the services' user ids.
    folder = Path(tempfile.mkdtemp(prefix="is"))
    folder.chmod(0o755)
    shell = Shell(folder)
    yield shell
    shell.run("down")
    shutil.rmtree(folder)


@pytest.mark.slow
def test_up_says_where_it_is_runs_once_and_goes_down(shell: Shell) -> None:
    shell.settings.write_text("[retention]\nusage_days = 7\n")
    up = shell.run("up", "--detach", "--settings", str(shell.settings))
    assert up.returncode == 0, up.stderr
    assert f"http://127.0.0.1:{shell.ports[0]}/welcome#token=" in up.stdout
    assert "Ingot is ready." in up.stdout
    state = json.loads(shell.run("status", "-o", "json").stdout)
    assert {"gateway", "host", "api", "streams", "worker", "meter"} <= set(state["roles"])
    assert all(role["ready"] for role in state["roles"].values())
    assert re.search(r"^gateway +ready +pid \d+", shell.run("status").stdout, re.MULTILINE)

    recorded = json.loads((shell.data / "up.json").read_text())
    pid = recorded["pid"]
    assert recorded["settings"] == str(shell.settings)
    explained = shell.run("settings", "explain", "retention.usage_days")
    assert str(shell.settings) in explained.stdout, explained.stderr
    again = shell.run("up", "--detach")
    assert again.returncode == 1
    assert f"Ingot is already running on {shell.data}, pid {pid}." in again.stderr
    assert "ingot down" in again.stderr
    # The second attempt disturbed nothing.
    assert json.loads(shell.run("status", "-o", "json").stdout)["roles"] == state["roles"]

    assert f"--  Port {shell.ports[0]} is in use" in shell.run("doctor").stdout
    assert shell.run("down").stdout == "Stopped.\n"
    assert not any(Path(f"/proc/{role['pid']}").exists() for role in state["roles"].values())
    assert shell.run("up", "--detach").returncode == 0, "the data folder is free at once"


def test_a_taken_port_is_said_in_one_line_and_nothing_is_left_running(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", shell.ports[1])):
        up = shell.run("up", "--detach")
    assert up.returncode == 1
    # On a machine that shares the services' user id, a sentence says so first.
    assert up.stderr.splitlines()[-1] == (
        f"Port {shell.ports[1]} of 127.0.0.1 cannot be opened: another program uses it. "
        f"Choose another one: INGOT_LISTEN_FUNCTIONS_PORT={shell.ports[1] + 1000} make up"
    )
    assert shell.run("status").returncode == 6


def test_where_nothing_runs_each_command_says_so(shell: Shell) -> None:
    status = shell.run("status")
    assert (status.returncode, status.stdout) == (
        6,
        "Ingot is not running here. Start it with `ingot up`.\n",
    )
    assert json.loads(shell.run("status", "-o", "json").stdout) is None
    down = shell.run("down")
    assert (down.returncode, down.stdout) == (0, "Ingot is not running here.\n")


def test_doctor_says_what_the_machine_offers_without_changing_anything(shell: Shell) -> None:
    lines = shell.run("doctor").stdout.splitlines()
    assert all(line.startswith(("ok  ", "--  ")) for line in lines)
    text = "\n".join(lines)
    for words in ("Python 3.", "The gateway is", "Functions would run at isolation level", "is free"):
        assert words in text
    assert not shell.data.exists()


def test_an_unknown_setting_is_refused_by_name(shell: Shell) -> None:
    up = shell.run("up", "--detach", environment={"INGOT_LISTEN_PROT": "1"})
    assert up.returncode != 0
    assert "INGOT_LISTEN_PROT is not a setting" in up.stderr
