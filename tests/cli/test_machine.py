"""`ingot settings explain`, `tls`, `trust` and `backup list`: commands about this machine's files."""

from __future__ import annotations

import base64
import json
import os
import ssl
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.supervisor.keys import load_keys
from control_plane.supervisor.lock import RunLock
from operators.trust import read_trust

_ROOT = Path(__file__).resolve().parents[2]


class Machine:
    """Runs `ingot` on a data folder of its own, with nothing of this user's environment."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir(mode=0o700)
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}

    def run(
        self, *arguments: object, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "control_plane.cli.main", *(str(one) for one in arguments)]
        environment = {**self._environment, **(more or {})}
        return subprocess.run(
            command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False
        )

    def ok(self, *arguments: object, more: Mapping[str, str] | None = None) -> str:
        ran = self.run(*arguments, "--data", self.data, more=more)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def refused(self, code: int, *arguments: object, more: Mapping[str, str] | None = None) -> str:
        ran = self.run(*arguments, "--data", self.data, more=more)
        assert (ran.returncode, ran.stdout) == (code, "")
        return ran.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_explain_tells_where_each_value_comes_from(machine: Machine) -> None:
    file = machine.data / "ingot.toml"
    file.write_text("[retention]\nusage_days = 7\n")
    more = {"INGOT_HOST_MAX_LIFE_S": "90"}
    found: list[dict[str, Any]] = json.loads(machine.ok("settings", "explain", "-o", "json", more=more))
    shown = {one["name"]: (one["value"], one["source"]) for one in found}
    assert shown["retention.usage_days"] == (7, str(file))
    assert shown["host.max_life_s"] == (90.0, "environment")
    assert shown["traces.endpoint"] == ("", "default")
    lines = machine.ok("settings", "explain", more=more).splitlines()
    assert len(lines) == len(found)
    assert next(line for line in lines if line.startswith("tls.key ")).split() == [
        "tls.key",
        "(empty)",
        "default",
    ]
    one = machine.ok("settings", "explain", "INGOT_RETENTION_USAGE_DAYS")
    assert "retention.usage_days" in one
    assert "days" in one


def test_explain_finds_the_file_that_the_running_ingot_was_started_with(
    machine: Machine, tmp_path: Path
) -> None:
    elsewhere, own = tmp_path / "other.toml", machine.data / "ingot.toml"
    elsewhere.write_text("[retention]\nusage_days = 7\n")
    own.write_text("[retention]\nusage_days = 8\n")

    def explained(*more: object) -> tuple[str, str]:
        ran = machine.run("settings", "explain", "retention.usage_days", *more, "--data", machine.data)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout, ran.stderr

    lock = RunLock(machine.data)
    lock.record({"pid": os.getpid(), "settings": str(elsewhere)})
    found, said = explained()
    assert (str(elsewhere) in found, said) == (True, f"The settings file is {elsewhere}.\n")
    found, said = explained("--settings", own)
    assert str(own) in found
    assert f"was started with {elsewhere}." in said
    lock.record({"pid": os.getpid(), "settings": ""})
    assert "was started without one." in explained()[1]
    lock.record({"pid": os.getpid(), "settings": str(elsewhere)})
    # A kill leaves the record behind; nobody holds it any more.
    os.close(lock._descriptor)
    assert str(elsewhere) in (machine.data / "up.json").read_text()
    found, said = explained()
    assert (str(own) in found, said) == (True, f"The settings file is {own}.\n")


def test_explain_answers_slips_with_what_was_meant(machine: Machine) -> None:
    assert "Did you mean retention.usage_days?" in machine.refused(
        4, "settings", "explain", "retention.usage_day"
    )
    said = machine.refused(1, "settings", "explain", more={"INGOT_LISTEN_CONSOL_PORT": "1"})
    assert "Did you mean INGOT_LISTEN_CONSOLE_PORT?" in said
    (machine.data / "ingot.toml").write_text("[listen]\nconsole_prot = 1\n")
    assert "Did you mean listen.console_port?" in machine.refused(1, "settings", "explain")


def test_a_settings_file_by_its_old_name_stops_the_start_and_not_the_stop(machine: Machine) -> None:
    old = machine.data / "settings.toml"
    old.write_text("[listen]\nconsole_port = 9000\n")
    for command in ("up", "doctor", "settings explain"):
        said = machine.refused(1, *command.split())
        assert "is called ingot.toml now" in said
        assert f"mv {old} {machine.data / 'ingot.toml'}" in said
    assert machine.ok("down") == "Ingot is not running here.\n"


def test_a_certificate_for_development_is_made_once_shown_and_kept_private(machine: Machine) -> None:
    said = machine.ok("tls", "self-signed", "--name", "ingot.example", "--days", 30)
    whole, alone = machine.data / "keys" / "tls.pem", machine.data / "keys" / "tls-certificate.pem"
    assert str(whole) in said
    assert str(alone) in said
    assert stat.S_IMODE(whole.stat().st_mode) == 0o600
    assert "PRIVATE KEY" in whole.read_text()
    assert "PRIVATE KEY" not in alone.read_text()
    ssl.create_default_context(cadata=alone.read_text())
    before = whole.read_bytes()
    assert "is there already" in machine.refused(5, "tls", "self-signed")
    assert whole.read_bytes() == before
    shown = machine.ok("tls", "show", more={"INGOT_TLS_CERTIFICATE": str(whole)})
    assert "ingot.example" in shown
    assert "localhost" in shown
    assert "in 29 days" in shown or "in 30 days" in shown


def test_tls_without_or_with_a_bad_certificate_says_what_is_wrong(machine: Machine, tmp_path: Path) -> None:
    assert "Set tls.certificate" in machine.refused(4, "tls", "show")
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing of the kind\n")
    for command in ("show", "reload"):
        said = machine.refused(1, "tls", command, more={"INGOT_TLS_CERTIFICATE": str(bad)})
        assert str(bad) in said
    gone = machine.refused(1, "tls", "show", more={"INGOT_TLS_CERTIFICATE": str(tmp_path / "gone.pem")})
    assert "gone.pem" in gone


def test_reload_where_nothing_runs_says_that_the_next_start_serves_it(machine: Machine) -> None:
    machine.ok("tls", "self-signed")
    (machine.data / "gateway").mkdir(mode=0o700)
    whole = machine.data / "keys" / "tls.pem"
    said = machine.ok("tls", "reload", more={"INGOT_TLS_CERTIFICATE": str(whole)})
    assert said.startswith("No gateway runs here; its next start serves the certificate that expires on ")


def test_backup_list_names_what_is_there_and_what_is_no_archive(machine: Machine, tmp_path: Path) -> None:
    from control_plane.bootstrap import backup as backups
    from tests.support.data_folder import make_data_folder

    folder = tmp_path / "backups"
    folder.mkdir()
    empty = machine.run("backup", "list", folder)
    assert (empty.returncode, empty.stdout) == (0, "")
    assert f"There is no archive in {folder}." in empty.stderr

    (tmp_path / "saved").mkdir()
    saved = make_data_folder(tmp_path / "saved")
    made = backups.create(saved.settings, folder, "a long passphrase", "0.1.0")
    (folder / "ingot-00000000T000000Z.tar").write_bytes(b"no archive" * 100)
    (folder / "notes.txt").write_text("not ours")
    rows = json.loads(machine.run("backup", "list", folder, "-o", "json").stdout)
    assert [row["name"] for row in rows] == [made.archive.name, "ingot-00000000T000000Z.tar"]
    good, bad = rows
    assert (good["size"], good["problem"]) == (made.archive.stat().st_size, None)
    assert good["created"].startswith("20")
    assert good["keys"]
    assert (bad["created"], bad["keys"]) == (None, None)
    assert bad["problem"]
    table = machine.run("backup", "list", folder).stdout.splitlines()
    assert len(table) == 3
    assert table[0].startswith(made.archive.name)
    assert bad["problem"] in table[2]


def test_trust_prints_what_a_cluster_needs_and_never_the_key_itself(machine: Machine) -> None:
    assert "makes the keys" in machine.refused(4, "trust")
    keys = load_keys(_made(machine.data / "keys"))
    said = machine.ok("trust", "--for", "shop-*", "--approvals", 1)
    document = json.loads(said)
    assert (document["kind"], document["metadata"]["name"]) == ("ConfigMap", "ingot-trust")
    trusted, faults = read_trust(document)
    assert faults == ()
    [one] = trusted
    assert (one.namespaces, one.approvals) == (("shop-*",), 1)
    assert (
        base64.b64encode(one.public).decode() == Ed25519Signer(base64.b64decode(keys["release"])).public_key()
    )
    assert keys["release"] not in said


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder
