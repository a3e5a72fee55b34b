"""The real base image: the same on every machine, small, and what runs on it behaves as on one machine."""

from __future__ import annotations

import json
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.base.assemble import BaseImage, make_base
from builders.build import Folders, build, freeze, lock, read_draft
from builders.release_image import ReleaseImage, compose
from builders.storage import blob_path, remove_tree
from tests.support.base_image import RUNTIME, packages, real_base, runtime
from tests.support.container_root import RunningImage, run_image, unpack_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_PROBE = '''
import ctypes, importlib.util, json, os, ssl, sys, time

def execute(input, context):
    return globals()[input](context)

def identity(context):
    return {"uid": os.getuid(), "gid": os.getgid(), "pid": os.getpid(), "parent": os.getppid()}

def writable(context):
    found = {}
    for path in ("/x", "/opt/ingot/function/x", "/etc/x", "/tmp/x"):
        try:
            with open(path, "w"):
                found[path] = True
        except OSError:
            found[path] = False
    return found

def bytecode(context):
    flags = {}
    for name in ("json", "asyncio", "ingot_shim.handler", "main"):
        module = sys.modules.get(name) or importlib.import_module(name)
        with open(module.__cached__, "rb") as file:
            flags[name] = int.from_bytes(file.read(8)[4:], "little")
    return flags

def libraries(context):
    import bz2, lzma, sqlite3, uuid, zlib, zoneinfo, decimal, hashlib, unicodedata
    ctypes.CDLL("libstdc++.so.6")
    return {
        "authorities": ssl.create_default_context().cert_store_stats()["x509_ca"] > 100,
        "zone": str(zoneinfo.ZoneInfo("Europe/Berlin")),
        "rows": sqlite3.connect(":memory:").execute("select 1").fetchone()[0],
        "version": list(sys.version_info[:2]),
    }

def orphan(context):
    """Leave a grandchild behind that ends by itself."""
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.waitpid(child, 0)
    return True

def processes(context):
    states = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with open(f"/proc/{name}/stat") as file:
                states.append(file.read().rpartition(")")[2].split()[0])
    return states
'''


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base")


@pytest.fixture(scope="module")
def base(base_folder: Path) -> BaseImage:
    try:
        return real_base(base_folder)
    except FileNotFoundError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def image(base: BaseImage, base_folder: Path) -> Iterator[ReleaseImage]:
    folders = Folders(base_folder / "blobs", base_folder / "layers", base_folder / "cache")
    manifest = f'runtime = "{RUNTIME}"\n[limits]\ntimeout_ms = 5000\n'
    files = {"main.py": _PROBE.encode(), "ingot.toml": manifest.encode()}
    plan = read_draft(files)
    locked = lock(plan, folders.cache)
    frozen = freeze(plan, locked)
    built = build(frozen, files, locked, folders)
    yield compose(base, frozen.manifest, built.layers, folders)
    remove_tree(folders.layers)


@pytest.fixture(scope="module")
def running(
    image: ReleaseImage, base_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningImage]:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount and to become another user")
    folder = tmp_path_factory.mktemp("run")
    root = folder / "root"
    root.mkdir(mode=0o755)
    for parent in (folder, folder.parent):
        parent.chmod(0o755)
    unpack_image(image.layers, base_folder / "blobs", root)
    with run_image(root, _config(image, base_folder), folder) as one:
        yield one


def _config(image: ReleaseImage, folder: Path) -> dict[str, Any]:
    document = json.loads(blob_path(folder / "blobs", image.config).read_bytes())
    config: dict[str, Any] = document["config"]
    return config


def test_it_is_small_and_for_an_ordinary_user(
    base: BaseImage, image: ReleaseImage, base_folder: Path
) -> None:
    assert base.size < 80_000_000
    config = _config(image, base_folder)
    assert config["User"] == "65532:65532"
    assert config["StopSignal"] == "SIGTERM"


def test_it_is_the_same_everywhere(base: BaseImage, base_folder: Path, tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        (tmp_path / "a" / "b" / "cache").mkdir(parents=True)
        (tmp_path / "a" / "b" / "cache" / "packages").symlink_to(base_folder / "cache" / "packages")
        listed = packages(tmp_path / "a" / "b" / "cache")
        again = make_base(listed, runtime(), tmp_path / "a" / "b" / "blobs", tmp_path / "a" / "b" / "cache")
    finally:
        os.umask(old)
    assert (again.digest, again.layers, again.sbom) == (base.digest, base.layers, base.sbom)


def test_nothing_in_it_belongs_to_anybody_or_can_become_root(base: BaseImage, base_folder: Path) -> None:
    with tarfile.open(blob_path(base_folder / "blobs", base.layers[0].digest)) as archive:
        members = archive.getmembers()
    names = {member.name for member in members}
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, 0)}
    assert not [member.name for member in members if member.mode & 0o6000]
    writable = [member.name for member in members if member.mode & 0o022 and not member.issym()]
    assert sorted(writable) == ["var/tmp"]
    (tmp,) = [member for member in members if member.name == "tmp"]
    assert tmp.linkname == "dev/shm", "memory that is there without a volume; relative, so never the host's"
    assert not names & {"usr/bin/sh", "usr/bin/dash", "bin/sh", "usr/bin/apt"}
    assert "var/lib/dpkg/status.d/libc6" in names, "scanners find the packages"
    assert "usr/share/doc/libc6/copyright" in names, "licences come along"


def test_its_bill_of_materials_names_every_package(base: BaseImage, base_folder: Path) -> None:
    sbom = json.loads(blob_path(base_folder / "blobs", base.sbom).read_bytes())
    listed = packages(base_folder / "cache")
    assert {one["name"] for one in sbom["components"]} == {one.name for one in listed.packages}
    assert all(one["purl"].startswith("pkg:deb/debian/") for one in sbom["components"])


def test_it_runs_as_the_first_process_of_an_ordinary_user(running: RunningImage) -> None:
    status, found = running.call("identity")
    assert (status, found["uid"], found["gid"], found["parent"]) == (200, 65532, 65532, 1)


def test_only_tmp_can_be_written(running: RunningImage) -> None:
    assert running.call("writable")[1] == {
        "/x": False,
        "/opt/ingot/function/x": False,
        "/etc/x": False,
        "/tmp/x": True,
    }


def test_all_code_has_bytecode_that_is_never_checked(running: RunningImage) -> None:
    flags = running.call("bytecode")[1]
    # The bit for a hash instead of a time, without the one that asks for a check.
    assert flags == dict.fromkeys(("json", "asyncio", "ingot_shim.handler", "main"), 1)


def test_what_functions_expect_of_a_system_is_there(running: RunningImage) -> None:
    assert running.call("libraries")[1] == {
        "authorities": True,
        "zone": "Europe/Berlin",
        "rows": 1,
        "version": [3, 11],
    }


def test_errors_are_those_of_one_machine(running: RunningImage) -> None:
    status, problem = running.call("nothing")
    assert (status, problem["code"], problem["fault"]) == (500, "handler_failed", "author")
    assert set(problem) == {"title", "status", "code", "fault", "detail", "request_id"}


def test_orphans_are_reaped_and_sigterm_ends_it(running: RunningImage) -> None:
    for _ in range(5):
        assert running.call("orphan") == (200, True)
    deadline = time.monotonic() + 20
    while "Z" in running.call("processes")[1]:
        assert time.monotonic() < deadline, "nobody reaps them"
    assert running.stop() == 0
