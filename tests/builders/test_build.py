"""Building versions from local wheels: layers, image, bill of materials, caches and crashes."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builders.build import Built, Folders, build, freeze, lock, read_draft, try_out
from builders.bytecode import compile_layer
from builders.errors import BuildError
from builders.layers import entries_of_files, put_layer
from builders.progress import PHASES
from builders.storage import put_blob, remove_leftovers
from builders.unpack import layer_folder, unpack_layer, verify_layer
from tests.builders.drafts import a_draft, a_wheel


def built(files: dict[str, bytes], folders: Folders, **options: object) -> Built:
    plan = read_draft(files)
    made = lock(plan, folders.cache)
    return build(freeze(plan, made), files, made, folders, **options)  # type: ignore[arg-type]


def tree_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def draft(index: Path) -> dict[str, bytes]:
    a_wheel(
        index, "alpha", requires=["beta"], entry_points="[console_scripts]\nalpha = alpha:main\n",
        metadata="License-Expression: mit OR apache-2.0\n",
        files={
            "alpha/__init__.py": "def main(): ...\n", "alpha/__pycache__/old.pyc": "x", "bin/tool": "\x7fELF",
        },
    )  # fmt: skip
    a_wheel(index, "beta", metadata="Classifier: License :: OSI Approved :: BSD License\n")
    return a_draft(requirements_txt="alpha")


def test_layers_hold_the_draft_and_its_wheels_alone(folders: Folders, draft: dict[str, bytes]) -> None:
    found = built(draft, folders)
    assert set(found.layers) == {"function", "deps"}
    assert tree_of(layer_folder(folders.layers, found.layers["function"])) == draft
    installed = tree_of(layer_folder(folders.layers, found.layers["deps"]))
    assert set(installed) == {
        "alpha-1.0.dist-info/METADATA", "alpha-1.0.dist-info/RECORD", "alpha-1.0.dist-info/WHEEL",
        "alpha-1.0.dist-info/entry_points.txt", "alpha/__init__.py", "beta-1.0.dist-info/METADATA",
        "beta-1.0.dist-info/RECORD", "beta-1.0.dist-info/WHEEL", "beta/__init__.py", "bin/tool",
    }  # fmt: skip
    record = installed["alpha-1.0.dist-info/RECORD"].decode()
    assert "bin/alpha" not in record
    assert "__pycache__" not in record
    assert "alpha/__init__.py,sha256=" in record


def test_a_layer_is_a_plain_tar_with_nothing_of_this_machine(
    folders: Folders, draft: dict[str, bytes]
) -> None:
    found = built(draft, folders)
    for role, digest in found.layers.items():
        blob = folders.blobs / "sha256" / digest[7:]
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == digest[7:]
        with tarfile.open(blob, "r:") as archive:
            members = archive.getmembers()
        names = [member.name for member in members]
        assert names == sorted(names, key=str.encode)
        assert all(name.split("/")[0] == "opt" for name in names)
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}
        assert {m.mode for m in members if m.isdir()} == {0o755}
        assert {m.mode for m in members if m.isreg()} <= {0o644, 0o755}
        assert f"opt/ingot/{role}" in names


def test_the_golden_layer(tmp_path: Path) -> None:
    # The same bytes from every Python minor: names with accents and long ones need extended headers.
    files = {"main.py": b"x", "é/ü.txt": b"y", "l" * 120 + "/z": b""}
    digest, _ = put_layer(entries_of_files(files), "function", tmp_path)
    assert digest == "sha256:a02e4312a755f888d07a2656ebdd49b700aa5614b72ea86252759555d6fe62ee"


def test_unpacked_layers_are_read_only_and_can_be_verified(folders: Folders, draft: dict[str, bytes]) -> None:
    found = built(draft, folders)
    folder = layer_folder(folders.layers, found.layers["function"])
    assert {stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]} == {0o555, 0o444}
    assert verify_layer(folder, found.layers["function"], "function")
    (folder / "main.py").chmod(0o644)
    (folder / "main.py").write_bytes(b"changed")
    assert not verify_layer(folder, found.layers["function"], "function")


def test_doing_it_again_is_spared_and_gives_the_same(folders: Folders, draft: dict[str, bytes]) -> None:
    phases: list[str] = []
    first = built(draft, folders, progress=phases.append)
    assert phases == [phase for phase in PHASES if phase != "resolve"]
    phases.clear()
    again = built(draft, folders, progress=phases.append)
    assert "install" not in phases
    assert (again.layers, again.image, again.sbom) == (first.layers, first.image, first.sbom)
    assert set(again.timings_ms) == set(phases)


def test_another_cache_and_folder_give_the_same_bytes(
    folders: Folders, draft: dict[str, bytes], tmp_path: Path
) -> None:
    first = built(draft, folders)
    other = Folders(tmp_path / "o/b", tmp_path / "o/l", tmp_path / "o/c")
    second = built(dict(reversed(draft.items())), other)
    assert (second.layers, second.image, second.sbom) == (first.layers, first.image, first.sbom)


def test_a_changed_source_reuses_the_dependency_layer(folders: Folders, draft: dict[str, bytes]) -> None:
    first = built(draft, folders)
    changed = built(draft | {"main.py": b"def execute(input, context): return 2\n"}, folders)
    assert changed.layers["deps"] == first.layers["deps"]
    assert changed.layers["function"] != first.layers["function"]
    assert "install" not in changed.timings_ms


def test_layers_of_another_platform_are_made_here_too(folders: Folders, index: Path) -> None:
    for machine in ("x86_64", "aarch64"):
        a_wheel(index, "alpha", tag=f"cp312-cp312-manylinux_2_17_{machine}", files={"alpha.py": machine})
    draft = a_draft('runtime = "python3.12"', requirements_txt="alpha")
    for machine in ("x86_64", "aarch64"):
        found = built(draft, folders, platform=f"linux-{machine}")
        folder = layer_folder(folders.layers, found.layers["deps"])
        assert (folder / "alpha.py").read_text() == machine
        config = _config(folders, found)
        assert config["architecture"] == {"x86_64": "amd64", "aarch64": "arm64"}[machine]


def _config(folders: Folders, found: Built) -> dict[str, object]:
    blobs = folders.blobs / "blobs/sha256"
    manifest = json.loads((blobs / found.image[7:]).read_bytes())
    config: dict[str, object] = json.loads((blobs / manifest["config"]["digest"][7:]).read_bytes())
    return config


def test_the_blobs_folder_is_an_oci_layout(folders: Folders, draft: dict[str, bytes]) -> None:
    found = built(draft, folders)
    root = folders.blobs
    assert json.loads((root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((root / "index.json").read_bytes())["manifests"]
    assert entry["digest"] == found.image
    manifest = json.loads((root / "blobs/sha256" / entry["digest"][7:]).read_bytes())
    assert entry["size"] == (root / "blobs/sha256" / entry["digest"][7:]).stat().st_size
    for described in (manifest["config"], *manifest["layers"]):
        content = (root / "blobs/sha256" / described["digest"][7:]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (
            described["size"],
            described["digest"][7:],
        )
    assert [layer["digest"] for layer in manifest["layers"]] == [
        found.layers["deps"],
        found.layers["function"],
    ]
    config = json.dumps(_config(folders, found))
    assert "created" not in json.loads(config)
    assert found.layers["deps"] in config


def test_builds_at_once_lose_no_image_of_the_index(folders: Folders) -> None:
    drafts = [a_draft(note_txt=str(number)) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        images = {found.image for found in pool.map(lambda files: built(files, folders), [*drafts, *drafts])}
    entries = json.loads((folders.blobs / "index.json").read_bytes())["manifests"]
    assert {entry["digest"] for entry in entries} == images
    assert len(entries) == len(images) == 8
    assert not list(folders.blobs.rglob(".tmp-*"))
    assert not list(folders.layers.glob(".tmp-*"))


def test_the_bill_of_materials_names_parts_hashes_and_licences(
    folders: Folders, draft: dict[str, bytes], index: Path
) -> None:
    document = json.loads(built(draft, folders).sbom)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert not {"serialNumber", "timestamp"} & (set(document) | set(document["metadata"]))
    alpha, beta = document["components"]
    assert alpha["purl"] == "pkg:pypi/alpha@1.0?file_name=alpha-1.0-py3-none-any.whl"
    wheel = (index / "alpha-1.0-py3-none-any.whl").read_bytes()
    assert alpha["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel).hexdigest()}]
    assert alpha["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert beta["licenses"] == [{"license": {"name": "BSD License"}}]
    refs = {item["bom-ref"] for item in document["components"]}
    assert set(document["dependencies"][0]["dependsOn"]) == refs


def test_of_two_files_with_one_name_the_last_package_wins_every_time(folders: Folders, index: Path) -> None:
    for name in ("aaa", "bbb", "ccc"):
        a_wheel(index, name, files={f"{name}.py": "", "shared/conf.py": f"# {name}\n"})
    found = built(a_draft(requirements_txt="ccc\naaa\nbbb"), folders)
    folder = layer_folder(folders.layers, found.layers["deps"])
    assert (folder / "shared/conf.py").read_text() == "# ccc\n"


def test_a_wheel_that_changed_behind_its_name_is_refused(folders: Folders, index: Path) -> None:
    a_wheel(index, "alpha")
    files = a_draft(requirements_txt="alpha")
    plan = read_draft(files)
    made = lock(plan, folders.cache)
    a_wheel(index, "alpha", files={"alpha/__init__.py": "evil = True\n"})
    fresh = Folders(folders.blobs, folders.layers, folders.cache / "fresh")
    with pytest.raises(BuildError) as caught:
        build(freeze(plan, made), files, made, fresh)
    assert caught.value.code == "install_failed"
    assert "hash" in caught.value.message.lower()


def test_files_that_were_not_frozen_are_not_built(folders: Folders) -> None:
    files = a_draft()
    plan = read_draft(files)
    made = lock(plan, folders.cache)
    with pytest.raises(BuildError) as caught:
        build(freeze(plan, made), files | {"main.py": b"def execute(a, b): 1\n"}, made, folders)
    assert caught.value.code == "lock_stale"
    with pytest.raises(BuildError) as caught:
        build(freeze(plan, made), files, made, folders, platform="linux-s390x")
    assert caught.value.code == "platform_unsupported"


def test_a_blob_that_was_changed_on_disk_is_never_unpacked(folders: Folders) -> None:
    found = built(a_draft(), folders)
    digest = found.layers["function"]
    blob = folders.blobs / "sha256" / digest[7:]
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes().replace(b"return input", b"return 12345"))
    other = folders.layers.with_name("other")
    with pytest.raises(BuildError) as caught:
        unpack_layer(folders.blobs, other, digest, "function")
    assert caught.value.code == "layer_corrupt"
    # A folder keeps the lock that sweeps of it take.
    assert [one.name for one in other.iterdir()] == [".sweep.lock"]


@pytest.mark.parametrize("name", ["opt/ingot/function/../../../evil", "evil", "/evil"])
def test_a_hostile_blob_writes_nothing_outside(folders: Folders, name: str) -> None:
    blob = tarfile.TarInfo(name).tobuf() + bytes(1024)
    with pytest.raises(BuildError) as caught:
        unpack_layer(folders.blobs, folders.layers, put_blob(folders.blobs, blob), "function")
    assert caught.value.code == "layer_corrupt"
    assert not list(folders.layers.parent.rglob("evil"))


@pytest.mark.slow
def test_a_build_that_was_killed_anywhere_is_finished_by_the_next(
    folders: Folders, draft: dict[str, bytes], tmp_path: Path
) -> None:
    reference = built(draft, Folders(tmp_path / "r/b", tmp_path / "r/l", tmp_path / "r/c"))
    script = (
        "import os, signal, sys\n"
        "from tests.builders.drafts import a_draft\n"
        "from tests.builders.test_build import built, Folders, Path\n"
        "from builders import layers, storage, image, unpack\n"
        "left = [int(sys.argv[2])]\n"
        "def dying(original):\n"
        "    def call(*a, **k):\n"
        "        left[0] -= 1\n"
        "        if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return original(*a, **k)\n"
        "    return call\n"
        # Every durable step passes through one of these.
        "os.fsync = dying(os.fsync); Path.rename = dying(Path.rename); Path.mkdir = dying(Path.mkdir)\n"
        "root = Path(sys.argv[1])\n"
        "built(a_draft(requirements_txt='alpha'), Folders(root / 'blobs', root / 'layers', root / 'cache'))\n"
    )
    killed = 0
    for step in range(2, 60, 4):
        root = tmp_path / f"k{step}"
        ended = subprocess.run(
            [sys.executable, "-c", script, str(root), str(step)], cwd=Path(__file__).parents[2], check=False
        )
        killed += ended.returncode == -9
        for layer in (root / "layers").glob("[0-9a-f]*"):
            role = "function" if (layer / "main.py").exists() else "deps"
            assert verify_layer(layer, f"sha256:{layer.name}", role)
        again = built(draft, Folders(root / "blobs", root / "layers", root / "cache"))
        assert (again.layers, again.image, again.sbom) == (reference.layers, reference.image, reference.sbom)
        if ended.returncode == 0:
            break
    assert killed >= 3


def test_old_leftovers_are_removed_and_young_ones_stay(tmp_path: Path) -> None:
    for name, age in ((".tmp-old", 7 * 3600), (".tmp-young", 60), ("kept", 7 * 3600)):
        folder = tmp_path / name
        (folder / "inner").mkdir(parents=True)
        (folder / "inner").chmod(0o555)
        moment = folder.stat().st_mtime - age
        os.utime(folder, (moment, moment))
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tmp-young", "kept"]


def test_bytecode_lies_beside_the_layer_and_is_used(folders: Folders, tmp_path: Path) -> None:
    source = b"def execute(input, context):\n    return 1\n"
    found = built(
        {"ingot.toml": b"", "main.py": source, "broken.py": b"def (", "a/b.py": b"X = 1\n"}, folders
    )
    layer = layer_folder(folders.layers, found.layers["function"])
    before = tree_of(layer)
    folder = compile_layer(layer, Path(sys.executable), tmp_path / "bytecode")
    assert compile_layer(layer, Path(sys.executable), tmp_path / "bytecode") == folder
    tag = sys.implementation.cache_tag
    assert set(tree_of(folder)) == {f"main.{tag}.pyc", f"a/b.{tag}.pyc"}
    assert tree_of(layer) == before
    # As the host does it: the folder appears below the prefix at the layer's own path.
    prefix = tmp_path / "prefix"
    (prefix / str(layer.parent)[1:]).mkdir(parents=True)
    (prefix / str(layer)[1:]).symlink_to(folder)
    script = (
        f"import sys; sys.pycache_prefix = {str(prefix)!r}; sys.path.insert(0, {str(layer)!r})\n"
        "import main; print(main.__cached__, main.execute.__code__.co_filename)"
    )
    command = [sys.executable, "-I", "-v", "-c", script]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [f"{prefix}{layer}/main.{tag}.pyc", f"{layer}/main.py"]
    assert f"code object from '{prefix}{layer}/main.{tag}.pyc'" in said.stderr


def test_a_tried_draft_has_the_version_s_layers_and_leaves_nothing_else(
    folders: Folders, draft: dict[str, bytes]
) -> None:
    plan = read_draft(draft)
    made = lock(plan, folders.cache)
    tried = try_out(plan, made, folders)
    assert tree_of(layer_folder(folders.layers, tried["function"])) == draft
    assert not (folders.blobs / "sha256" / tried["function"].removeprefix("sha256:")).exists()
    assert try_out(plan, made, folders) == tried == dict(built(draft, folders).layers)


def test_a_tried_draft_that_lost_its_end_is_made_again(folders: Folders, draft: dict[str, bytes]) -> None:
    plan = read_draft(draft)
    made = lock(plan, folders.cache)
    for is_frozen in (False, True):
        folder = layer_folder(folders.layers, try_out(plan, made, folders)["function"])
        # What a lost power supply makes of a file that nobody made durable.
        path = folder / "main.py"
        path.chmod(0o644)
        path.write_bytes(b"")
        layers = built(draft, folders).layers if is_frozen else try_out(plan, made, folders)
        assert layer_folder(folders.layers, layers["function"]) == folder
        assert tree_of(folder) == draft
    assert [entry.name for entry in folders.layers.iterdir() if entry.name.startswith(".tmp")] == []
