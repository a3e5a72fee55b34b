"""A backup holds all that cannot be made anew, proves it, and comes back whole or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from builders.unpack import verify_layer
from control_plane.adapters.embedded.clock import SystemClock
from control_plane.backup.archive import read_manifest
from control_plane.backup.create import Created
from control_plane.backup.folders import MADE_ANEW
from control_plane.bootstrap import backup as backups
from control_plane.errors import Conflict, IngotError, Invalid, NotFound
from control_plane.meter.cycle import Cycle
from control_plane.meter.follower import LogFollower
from control_plane.settings import load_settings
from control_plane.store.engine import create_engine
from control_plane.store.usage_ledger import UsageLedger
from control_plane.store.usage_tables import usage_events
from tests.meter.lines import access_line
from tests.support.data_folder import DataFolder, make_data_folder, open_services

_ROOT = Path(__file__).resolve().parents[2]
PASSPHRASE = "a passphrase of some length"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return make_data_folder(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made: DataFolder, tmp_path: Path) -> DataFolder:
    """A copy, so that no test sees what another did to it."""
    shutil.copytree(made.path, tmp_path / "data", symlinks=True)
    settings = load_settings(tmp_path / "data", {"XDG_RUNTIME_DIR": ""})
    return replace(made, settings=settings, services=open_services(settings, made.keys))


def saved(folder: DataFolder, passphrase: str = PASSPHRASE) -> Created:
    return backups.create(folder.settings, folder.path.parent / "backups", passphrase, "0.1.0")


def restored(folder: DataFolder, archive: Path, name: str = "again") -> DataFolder:
    settings = load_settings(folder.path.parent / name / "data", {"XDG_RUNTIME_DIR": ""})
    keys = backups.keys_of(archive, PASSPHRASE, None)
    backups.restore(archive, settings, keys, lambda _: None)
    return replace(folder, settings=settings, services=open_services(settings, keys), keys=keys)


class Counting:
    """The meter on a data folder, without its process."""

    def __init__(self, folder: DataFolder) -> None:
        self.engine: Engine = create_engine(folder.settings.usage_url, schema="usage")
        self.followers = [
            LogFollower("access", folder.path / "gateway" / "access.log", None),
            LogFollower("host", folder.path / "host" / "records.log", None),
        ]
        self.cycle = Cycle(UsageLedger(self.engine), self.followers[0], self.followers[1], SystemClock())
        self.cycle.reload()

    def all(self) -> int:
        while self.cycle.turn().lines:
            pass
        return self.events()

    def events(self) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(usage_events)) or 0

    def close(self) -> None:
        for follower in self.followers:
            follower.close()
        self.engine.dispose()


@pytest.fixture
def counting(folder: DataFolder) -> Iterator[Counting]:
    made = Counting(folder)
    yield made
    made.close()


def append(folder: DataFolder, numbers: range) -> None:
    with (folder.path / "gateway" / "access.log").open("ab") as log:
        log.write(b"".join(access_line(number) for number in numbers))


def test_it_comes_back_with_functions_versions_layers_settings_and_an_intact_audit(
    folder: DataFolder,
) -> None:
    (folder.path / "ingot.toml").write_text("[retention]\nusage_days = 7\n")
    logs = folder.path / "host" / "logs" / "fn_1"
    logs.mkdir()
    (logs / "2026-01-01.jsonl").write_text("{}\n")
    archive = saved(folder).archive
    assert backups.check(archive, backups.keys_of(archive, PASSPHRASE, None)).findings == ()
    again = restored(folder, archive)
    version = folder.services.versions.get(folder.owner, "orders", 1)
    assert again.services.versions.get(folder.owner, "orders", 1) == version
    assert again.services.versions.files(folder.owner, "orders", 1)
    for role, digest in version.layers.items():
        assert verify_layer(again.path / "layers" / digest.removeprefix("sha256:"), digest, role)
    assert again.services.audit.verify(folder.owner).findings == ()
    assert again.services.audit.verify(folder.owner).checkpoints
    assert again.keys == folder.keys
    assert (again.path / "ingot.toml").read_text() == "[retention]\nusage_days = 7\n"
    assert (again.path / "host" / "logs" / "fn_1" / "2026-01-01.jsonl").exists()
    assert (again.path / "blobs" / "blobs").readlink() == Path()
    assert {path.stat().st_mode & 0o777 for path in (again.path / "keys").iterdir()} == {0o600}


def test_every_folder_is_taken_or_named_as_made_anew(folder: DataFolder) -> None:
    (folder.path / "later").mkdir()
    for path in folder.path.iterdir():
        if path.is_dir() and path.name != "host":
            (path / "thing").write_text("of a version to come")
    taken = {
        member.name.split("/")[1]
        for member in read_manifest(saved(folder).archive).members
        if "/" in member.name
    }
    assert {path.name for path in folder.path.iterdir()} - set(MADE_ANEW) - {"host"} <= taken
    assert "later" in taken


@pytest.mark.parametrize("counted", [0, 40])
def test_counting_goes_on_where_the_snapshot_was(
    folder: DataFolder, counting: Counting, counted: int
) -> None:
    append(folder, range(counted))
    assert counting.all() == counted
    append(folder, range(counted, 60))
    archive = saved(folder).archive
    append(folder, range(60, 90))
    again = Counting(restored(folder, archive))
    # What was answered before the backup is counted after it, whether or not the meter had come to it.
    assert (again.events(), again.all()) == (counted, 60)
    again.close()


def test_a_backup_while_the_meter_counts_loses_and_doubles_nothing(
    folder: DataFolder, counting: Counting
) -> None:
    stop = threading.Event()
    written = [0]

    def serve() -> None:
        while not stop.is_set():
            append(folder, range(written[0], written[0] + 200))
            written[0] += 200
            counting.cycle.turn()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        for number in range(5):
            before = written[0]
            archive = saved(folder).archive
            after = written[0]
            again = Counting(restored(folder, archive, f"again{number}"))
            assert before <= again.all() <= after + 200
            again.close()
    finally:
        stop.set()
        thread.join()


def test_without_a_passphrase_the_keys_lie_apart(folder: DataFolder) -> None:
    made = saved(folder, "")
    assert made.keys is not None
    assert made.keys.stat().st_mode & 0o777 == 0o600
    secret = folder.keys["master"].encode()
    assert secret in made.keys.read_bytes()
    assert secret not in made.archive.read_bytes()
    assert backups.keys_of(made.archive, "", None) == folder.keys
    made.keys.rename(made.keys.with_name("elsewhere"))
    with pytest.raises(NotFound):
        backups.keys_of(made.archive, "", None)


def test_sealed_keys_open_with_the_passphrase_alone(folder: DataFolder) -> None:
    made = saved(folder)
    assert made.keys is None
    assert folder.keys["master"].encode() not in made.archive.read_bytes()
    assert backups.keys_of(made.archive, PASSPHRASE, None) == folder.keys
    with pytest.raises(Invalid, match="do not open"):
        backups.keys_of(made.archive, PASSPHRASE + "!", None)
    with pytest.raises(Invalid, match="fewer than 12"):
        saved(folder, "short")


def test_damage_anywhere_is_found_and_never_restored(folder: DataFolder, tmp_path: Path) -> None:
    archive = saved(folder).archive
    with tarfile.open(archive) as tar:
        places = [(entry.name, entry.offset_data, entry.size) for entry in tar if entry.size]
    for name, offset, size in places:
        damaged = tmp_path / "damaged.tar"
        shutil.copy(archive, damaged)
        with damaged.open("r+b") as stream:
            stream.seek(offset + size // 2)
            old = stream.read(1)
            stream.seek(offset + size // 2)
            stream.write(bytes([old[0] ^ 1]))
        if name != "manifest.json":
            assert backups.check(damaged, None).findings, name
        settings = load_settings(tmp_path / "never", {})
        if name != "manifest.json":
            with pytest.raises(IngotError):
                backups.restore(damaged, settings, folder.keys, lambda _: None)
            assert not settings.data.exists()


def test_a_cut_archive_is_none(folder: DataFolder, tmp_path: Path) -> None:
    content = saved(folder).archive.read_bytes()
    for length in (0, 511, 512, len(content) // 2, len(content) - 12_000):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(content[:length])
        with pytest.raises(Invalid):
            backups.check(cut, None)


def test_a_blob_that_is_needed_and_missing_is_named(folder: DataFolder) -> None:
    version = folder.services.versions.get(folder.owner, "orders", 1)
    name = version.files[0].digest.removeprefix("sha256:")
    (folder.path / "blobs" / "sha256" / name).unlink()
    assert f"The blob {name} is needed and missing." in backups.check(saved(folder).archive, None).findings


def test_a_damaged_blob_is_said_when_the_backup_is_made(folder: DataFolder) -> None:
    path = next((folder.path / "blobs" / "sha256").glob("[0-9a-f]*"))
    path.chmod(0o600)
    path.write_bytes(b"x")
    made = saved(folder)
    assert made.damaged == (path.name,)
    assert (
        f"The blob {path.name} was damaged when the backup was made."
        in backups.check(made.archive, None).findings
    )


def test_a_rewritten_audit_chain_is_found_with_the_keys(folder: DataFolder) -> None:
    line = folder.path / "audit" / "checkpoints.jsonl"
    line.write_text(line.read_text().replace('"signature": "', '"signature": "AAAA'))
    archive = saved(folder).archive
    assert any("Checkpoint line 1" in text for text in backups.check(archive, folder.keys).findings)


def test_only_an_empty_folder_is_restored_into(folder: DataFolder) -> None:
    archive = saved(folder).archive
    with pytest.raises(Conflict, match="is not empty"):
        backups.restore(archive, folder.settings, folder.keys, lambda _: None)


def test_a_name_that_leads_out_of_the_folder_is_refused(folder: DataFolder, tmp_path: Path) -> None:
    archive = saved(folder).archive
    hostile = tmp_path / "hostile.tar"
    with tarfile.open(archive) as tar, tarfile.open(hostile, "w") as out:
        for entry in tar:
            stream = tar.extractfile(entry)
            if entry.name.startswith("files/audit/"):
                entry.name = "files/../../evil"
            out.addfile(entry, stream)
    with pytest.raises(Invalid, match="outside the data folder"):
        backups.restore(hostile, load_settings(tmp_path / "x" / "data", {}), folder.keys, lambda _: None)
    assert not list(tmp_path.rglob("evil"))


def test_databases_of_a_server_are_not_pretended_to_be_saved(folder: DataFolder) -> None:
    url = {"INGOT_DATABASE_USAGE_URL": "postgresql+psycopg://u@h/d"}
    with pytest.raises(Conflict, match="usage_url"):
        backups.create(load_settings(folder.path, url), folder.path.parent / "b", "", "0")


def _command(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "control_plane.cli.main", "backup", *arguments]
    return subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["create", "restore"])
def test_a_kill_at_any_moment_leaves_nothing_half(folder: DataFolder, tmp_path: Path, what: str) -> None:
    into, target = tmp_path / "into", tmp_path / "target" / "data"
    # Large enough that kills fall into the copying.
    for number in range(40):
        folder.services.drafts._blobs.put(os.urandom(500_000) + bytes([number]))
    phrase = tmp_path / "phrase"
    phrase.write_text(PASSPHRASE)
    archive = saved(folder).archive
    arguments = {
        "create": (
            "create",
            "--data",
            str(folder.path),
            "--into",
            str(into),
            "--passphrase-file",
            str(phrase),
        ),
        "restore": ("restore", str(archive), "--data", str(target), "--passphrase-file", str(phrase)),
    }[what]
    began = time.monotonic()
    assert _command(*arguments).wait(60) == 0
    whole = time.monotonic() - began
    shutil.rmtree(into if what == "create" else target.parent)
    for step in range(12):
        process = _command(*arguments)
        time.sleep(whole * (0.4 + 0.05 * step))
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        if what == "create":
            for made in into.glob("*.tar"):
                assert backups.check(made, None).findings == ()
        elif target.exists():
            settings = load_settings(target, {"XDG_RUNTIME_DIR": ""})
            assert open_services(settings, folder.keys).audit.verify(folder.owner).findings == ()
            shutil.rmtree(target)
    assert _command(*arguments).wait(60) == 0
    assert [path.name for path in (into if what == "create" else target.parent).glob(".ingot-work-*")] == []
