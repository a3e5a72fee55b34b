"""Locking against an index of local wheels: choice of wheels, refusals, and what uv says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders.build import Folders, Lock, lock, read_draft, read_lock
from builders.errors import BuildError
from builders.index_settings import without_credentials
from builders.uv_command import failing_lines, is_unreachable
from tests.builders.drafts import a_draft, a_wheel


def locked(folders: Folders, requirements: str, *, runtime: str = "python3.11", **options: object) -> Lock:
    plan = read_draft(a_draft(f'runtime = "{runtime}"' if runtime else "", requirements_txt=requirements))
    return lock(plan, folders.cache, **options)  # type: ignore[arg-type]


def versions(found: Lock) -> dict[str, str]:
    return {item.name: item.version for item in found.packages}


def test_a_draft_without_dependencies_needs_no_resolver(folders: Folders) -> None:
    found = locked(folders, "")
    assert found.packages == ()
    assert not folders.cache.exists()


def test_dependencies_of_dependencies_are_locked_with_hashes(folders: Folders, index: Path) -> None:
    a_wheel(index, "alpha", requires=["beta>=1"])
    a_wheel(index, "beta", "1.5")
    found = locked(folders, "alpha")
    assert versions(found) == {"alpha": "1.0", "beta": "1.5"}
    assert all(set(item.wheels) == {"linux-aarch64", "linux-x86_64"} for item in found.packages)
    assert str(index) not in found.content.decode()
    assert read_lock(found.content) == found
    assert not list(folders.cache.glob(".tmp-*"))


def test_each_platform_gets_its_most_specific_wheel(folders: Folders, index: Path) -> None:
    for tag in (
        "py3-none-any", "cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_28_x86_64",
        "cp311-cp311-manylinux_2_34_x86_64", "cp311-cp311-musllinux_1_2_x86_64",
        "cp312-cp312-manylinux_2_17_x86_64",
        "cp311-abi3-manylinux2014_aarch64",
    ):  # fmt: skip
        a_wheel(index, "alpha", tag=tag)
    (found,) = locked(folders, "alpha").packages
    assert {platform: wheel.file for platform, wheel in found.wheels.items()} == {
        "linux-aarch64": "alpha-1.0-cp311-abi3-manylinux2014_aarch64.whl",
        "linux-x86_64": "alpha-1.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    }


def test_markers_are_decided_for_every_patch_release_of_the_minor(folders: Folders, index: Path) -> None:
    for name in ("early", "late", "windows", "newer", "arm"):
        a_wheel(index, name)
    asked = (
        "early; python_full_version < '3.11.3'\nlate; python_full_version >= '3.11.4'\n"
        "windows; sys_platform == 'win32'\nnewer; python_version >= '3.12'\n"
        "arm; platform_machine == 'aarch64'"
    )
    found = locked(folders, asked)
    assert set(versions(found)) == {"early", "late", "arm"}
    assert [item.name for item, _ in found.for_platform("linux-x86_64")] == ["early", "late"]
    assert set(versions(locked(folders, asked, runtime="python3.12"))) == {"late", "newer", "arm"}


def test_what_cannot_be_resolved_shows_the_resolvers_line(folders: Folders, index: Path) -> None:
    a_wheel(index, "alpha", requires=["beta<2"])
    a_wheel(index, "beta", "2.0")
    for asked, said in (
        ("missing-thing", "missing-thing was not found"),
        ("alpha==9", "there is no version of alpha==9"),
        ("alpha\nbeta>=2", "beta"),
    ):
        with pytest.raises(BuildError) as caught:
            locked(folders, asked)
        assert caught.value.code == "lock_failed"
        assert caught.value.field == "requirements.txt"
        assert said in caught.value.message
        assert any(said in line for line in caught.value.log)


def test_a_source_archive_is_never_built(folders: Folders, index: Path, tmp_path: Path) -> None:
    import io
    import tarfile

    trap = tmp_path / "ran"
    setup = (
        f"open({str(trap)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name='evil', version='1')\n"
    )
    with tarfile.open(index / "evil-1.0.tar.gz", "w:gz") as packed:
        for name, text in (
            ("setup.py", setup),
            ("PKG-INFO", "Metadata-Version: 1.0\nName: evil\nVersion: 1.0\n"),
        ):
            info = tarfile.TarInfo(f"evil-1.0/{name}")
            info.size = len(text)
            packed.addfile(info, io.BytesIO(text.encode()))
    with pytest.raises(BuildError) as caught:
        locked(folders, "evil")
    assert caught.value.code == "lock_failed"
    assert "wheel" in caught.value.message
    assert not trap.exists()


def test_a_platform_without_a_wheel_is_named(folders: Folders, index: Path) -> None:
    a_wheel(index, "alpha", tag="cp311-cp311-manylinux_2_17_x86_64")
    with pytest.raises(BuildError) as caught:
        locked(folders, "alpha")
    assert "aarch64" in caught.value.message


def test_a_lock_that_fits_is_kept_and_its_versions_survive_an_addition(folders: Folders, index: Path) -> None:
    a_wheel(index, "alpha", "1.0")
    first = locked(folders, "alpha")
    a_wheel(index, "alpha", "1.1")
    a_wheel(index, "gamma", "1.0")
    assert locked(folders, "alpha", previous=first) is first
    assert versions(locked(folders, "alpha\ngamma", previous=first)) == {"alpha": "1.0", "gamma": "1.0"}
    assert versions(locked(folders, "alpha", previous=first, upgrade=True)) == {"alpha": "1.1"}


def test_a_first_dependency_is_added_to_a_draft_that_had_none(folders: Folders, index: Path) -> None:
    a_wheel(index, "alpha")
    none = locked(folders, "")
    assert versions(locked(folders, "alpha", previous=none)) == {"alpha": "1.0"}


def test_a_draft_without_a_runtime_keeps_the_previous_locks(folders: Folders, index: Path) -> None:
    a_wheel(index, "alpha")
    other = locked(folders, "alpha", runtime="python3.13")
    assert locked(folders, "alpha", runtime="", previous=other) is other
    assert locked(folders, "", runtime="", previous=other).python == "3.13"


def test_the_author_cannot_configure_the_resolver(folders: Folders, index: Path) -> None:
    a_wheel(index, "alpha")
    draft = a_draft(
        requirements_txt="alpha",
        pyproject_toml="[tool.uv]\nno-build = false\nindex-url = 'http://127.0.0.1:9/'\n",
    )
    assert versions(lock(read_draft(draft), folders.cache)) == {"alpha": "1.0"}


def test_two_roads_to_the_same_wheels_give_the_same_bytes(
    folders: Folders, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_wheel(index, "alpha")
    mirror = tmp_path / "another mirror"
    mirror.mkdir()
    a_wheel(mirror, "alpha")
    first = locked(folders, "alpha")
    monkeypatch.setenv("UV_FIND_LINKS", str(mirror))
    other = Folders(folders.blobs, folders.layers, tmp_path / "other cache")
    assert locked(other, "alpha").content == first.content


def test_an_index_that_does_not_answer_is_not_the_drafts_fault(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://user:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(BuildError) as caught:
        locked(folders, "alpha")
    assert caught.value.code == "index_unreachable"
    assert "hunter2" not in json.dumps([caught.value.message, *caught.value.log])


def test_only_uvs_complaint_is_shown() -> None:
    output = "warning: slow\nerror: No solution\n  cause: Because a\n" + "more\n" * 50
    assert failing_lines(output)[:2] == ("error: No solution", "  cause: Because a")
    assert len(failing_lines(output)) <= 12
    assert failing_lines("something else\n") == ("something else",)
    assert without_credentials("at https://me:pw@host/x") == "at https://host/x"
    assert not is_unreachable("No solution found")
