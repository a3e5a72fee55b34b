"""Lists, packages and trees of base images: what is read is checked, what is written has one form."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from builders.base.apt import fetch_packages
from builders.base.contents import base_tree
from builders.base.deb import control_of, files_of
from builders.base.filesystem import file, folder, link, write_tree
from builders.base.package_list import Package, PackageList, known_runtimes, list_path, parse_list, read_list
from builders.errors import BuildError
from builders.registry.names import digest_of


def _tar(members: dict[str, bytes | str], compression: str = "xz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(f"./{name}")
            info.mode = 0o4755
            if isinstance(content, str):
                info.type, info.linkname = (
                    (tarfile.LNKTYPE if content.startswith("./") else tarfile.SYMTYPE),
                    content,
                )
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _deb(path: Path, members: dict[str, bytes | str], compression: str = "xz") -> Path:
    parts = {
        "debian-binary": b"2.0\n",
        f"control.tar.{compression}": _tar({"control": b"Package: x\nArchitecture: all\n"}, compression),
        f"data.tar.{compression}": _tar(members, compression),
    }
    content = b"!<arch>\n"
    for name, part in parts.items():
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(part):<10}".encode() + b"`\n" + part
        content += b"\n" * (len(part) % 2)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("compression", ["xz", "gz"])
def test_a_package_becomes_a_part_of_the_tree(tmp_path: Path, compression: str) -> None:
    package = _deb(
        tmp_path / "x.deb",
        {
            "usr/bin/tool": b"program",
            "usr/bin/again": "./usr/bin/tool",
            "lib/x86_64-linux-gnu/libx.so.1": b"library",
            "lib/x86_64-linux-gnu/libx.so": "libx.so.1",
            "usr/share/doc/x/copyright": b"free",
            "usr/share/doc/x/changelog.gz": b"long",
            "usr/share/man/man1/x.1": b"manual",
            "usr/share/ca-certificates/b.crt": b"second\n",
            "usr/share/ca-certificates/a.crt": b"first",
        },
        compression,
    )
    tree = base_tree([("x", control_of(package), files_of(package))])
    assert tree["usr/bin/tool"] == tree["usr/bin/again"] == file(b"program", executable=True)
    assert tree["usr/lib/x86_64-linux-gnu/libx.so"] == link("libx.so.1")
    assert tree["lib"] == link("usr/lib")
    assert tree["usr/share/doc/x/copyright"].content == b"free"
    assert tree["etc/ssl/certs/ca-certificates.crt"].content == b"first\nsecond\n"
    assert tree["var/lib/dpkg/status.d/x"].content.startswith(b"Package: x")
    assert not {"usr/share/doc/x/changelog.gz", "usr/share/man/man1/x.1"} & tree.keys()


@pytest.mark.parametrize("end", [b"", b"x" * 59, b"-" * 60, b"x" * 48 + b"99999999999 "])
def test_what_is_no_package_is_refused(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "x.deb").write_bytes(b"!<arch>\n" + end)
    with pytest.raises(BuildError) as caught:
        list(files_of(tmp_path / "x.deb"))
    assert caught.value.code == "base_unavailable"


def test_a_device_in_a_package_is_refused() -> None:
    member = tarfile.TarInfo("./usr/bin/disk")
    member.type = tarfile.BLKTYPE
    with pytest.raises(BuildError, match="device"):
        base_tree([("x", b"", [(member, b"")])])


def test_a_tree_is_written_in_one_form() -> None:
    tree = {"b/c": file(b"x", executable=True), "a": link("b/c"), "tmp": folder(0o1777)}
    first, second = io.BytesIO(), io.BytesIO()
    write_tree(tree, first)
    write_tree(dict(reversed(tree.items())), second)
    assert first.getvalue() == second.getvalue()
    first.seek(0)
    with tarfile.open(fileobj=first) as archive:
        found = [(one.name, oct(one.mode), one.linkname, one.mtime, one.uid) for one in archive]
    assert found == [
        ("a", "0o777", "b/c", 0, 0),
        ("b", "0o755", "", 0, 0),
        ("b/c", "0o755", "", 0, 0),
        ("tmp", "0o1777", "", 0, 0),
    ]


def test_every_committed_list_is_whole() -> None:
    found = [
        (runtime, platform)
        for platform in ("linux-x86_64", "linux-aarch64")
        for runtime in known_runtimes(platform)
    ]
    assert ("python3.11", "linux-x86_64") in found
    for runtime, platform in found:
        listed = read_list(runtime, platform)
        assert (listed.runtime, listed.platform) == (runtime, platform)
        assert parse_list(listed.content) == listed
        assert parse_list(list_path(runtime, platform).read_bytes()).digest == listed.digest
        assert f"{runtime}-minimal" in {one.name for one in listed.packages}


_GOOD = {"name": "x", "version": "1", "sha256": "0" * 64, "size": 1}


@pytest.mark.parametrize(
    "packages",
    [
        [_GOOD | {"name": "../x"}], [_GOOD | {"name": "-o"}], [_GOOD | {"version": "1 2"}],
        [_GOOD | {"sha256": "0"}], [_GOOD | {"size": "1"}], [_GOOD, _GOOD], ["x"], None,
    ],
)  # fmt: skip
def test_a_damaged_list_is_refused(packages: object) -> None:
    document = {
        "format": 1,
        "runtime": "r",
        "platform": "p",
        "vendor": "v",
        "release": "1",
        "packages": packages,
    }
    with pytest.raises(BuildError) as caught:
        parse_list(json.dumps(document).encode())
    assert caught.value.code == "base_unavailable"


def test_an_unknown_runtime_has_no_list() -> None:
    with pytest.raises(BuildError, match=r"python3\.11"):
        read_list("python3.99", "linux-x86_64")


def test_a_file_that_is_not_the_listed_one_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that gives other bytes under the right name and version is refused."""
    good = b"the package"
    item = Package("x", "1", digest_of(good)[7:], len(good))
    listed = PackageList("python3.11", "linux-x86_64", "debian", "12", (item,))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "apt-get").write_text("#!/bin/sh\nprintf evil >x_1_all.deb\n")
    (tools / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    with pytest.raises(BuildError, match="not those of the list"):
        fetch_packages(listed, tmp_path / "cache")
    (tools / "apt-get").write_text("#!/bin/sh\nprintf 'the package' >x_1_all.deb\n")
    assert fetch_packages(listed, tmp_path / "cache")["x"].read_bytes() == good
    (tools / "apt-get").write_text("#!/bin/sh\nexit 1\n")
    assert fetch_packages(listed, tmp_path / "cache")["x"].read_bytes() == good, "it is kept"
