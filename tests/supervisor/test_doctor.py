"""Each fact of the doctor is a sentence, and each that is not well says what to do."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from control_plane.adapters.gateway.certificate import make_self_signed
from control_plane.settings import load_settings
from control_plane.supervisor import doctor
from control_plane.supervisor.doctor import Fact, examine


def found(data: Path, **environment: str) -> dict[str, Fact]:
    return {fact.name: fact for fact in examine(load_settings(data, environment))}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "keys").mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    return folder


def test_it_looks_at_everything_and_changes_nothing(tmp_path: Path) -> None:
    facts = found(tmp_path / "absent")
    assert {
        "python", "packages", "gateway", "isolation", "listen.console_port", "listen.functions_port",
        "data", "disk.space", "disk.fsync", "files", "clock", "tls",
    } <= set(facts)  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    assert all(fact.sentence.endswith(".") for fact in facts.values())


def test_a_taken_port_is_said_with_another_one(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        fact = found(data, INGOT_LISTEN_CONSOLE_PORT=str(port))["listen.console_port"]
    assert not fact.ok
    assert f"INGOT_LISTEN_CONSOLE_PORT={port + 1000}" in fact.hint


def test_a_key_that_others_can_read_is_found(data: Path) -> None:
    key = data / "keys" / "master.key"
    key.touch(mode=0o600)
    assert found(data)["data"].ok
    key.chmod(0o644)
    fact = found(data)["data"]
    assert not fact.ok
    assert "keys/master.key" in fact.sentence
    assert "chmod" in fact.hint


def test_too_little_disk_and_a_slow_one_are_said(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fact = found(data, INGOT_METERING_MIN_FREE_MB=str(1 << 40))["disk.space"]
    assert not fact.ok
    assert "ingot cleanup --dry-run" in fact.hint
    monkeypatch.setattr(doctor, "_fsync_ms", lambda folder: 80.0)
    fact = found(data)["disk.fsync"]
    assert not fact.ok
    assert "80.0 ms" in fact.sentence


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder another user's")
def test_a_folder_of_somebody_else_is_said(data: Path) -> None:
    os.chown(data, 12345, 12345)
    fact = found(data)["data"]
    assert not fact.ok
    assert "12345" in fact.sentence


@pytest.mark.parametrize(("days", "ok"), [(90, True), (5, False)])
def test_a_certificate_that_expires_soon_is_said(data: Path, tmp_path: Path, days: int, ok: bool) -> None:
    path = tmp_path / "tls.pem"
    path.write_text(make_self_signed(("a.example",), days, datetime.now(UTC)))
    fact = found(data, INGOT_TLS_CERTIFICATE=str(path))["tls"]
    assert fact.ok is ok
    assert ("ingot tls reload" in fact.hint) is not ok


def test_plain_http_beyond_loopback_is_said(data: Path) -> None:
    fact = found(data, INGOT_LISTEN_ADDRESS="0.0.0.0")["tls"]
    assert not fact.ok
    assert "keys can be read" in fact.sentence
