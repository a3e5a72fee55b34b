"""Hostile and ordinary uploads: what is refused, and that the rest comes back unchanged."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import archive, tree
from builders.archive import read_archive
from builders.errors import BuildError


def a_tar(*members: tuple[str, bytes | bytes, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as packed:  # type: ignore[call-overload]
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            info.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            packed.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def a_zip(*members: tuple[str, bytes], attributes: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = attributes << 16
            packed.writestr(info, content)
    return buffer.getvalue()


def plain(name: str, content: bytes = b"x") -> tuple[str, bytes, bytes]:
    return (name, tarfile.REGTYPE, content)


HOSTILE_NAMES = [
    "../evil", "a/../../evil", "/etc/passwd", "a//b", "a/./b", "C:/evil", "a\\b", "..\\evil", "a\nb", "a\x7f",
    "a/" * 20 + "b", "x" * 300, "e\u0301.txt",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("pack", [lambda name: a_tar(plain(name)), lambda name: a_zip((name, b"x"))])
def test_hostile_names_are_refused(name: str, pack: Callable[[str], bytes]) -> None:
    with pytest.raises(BuildError) as caught:
        read_archive(pack(name))
    assert caught.value.code == "archive_refused"


def test_a_name_with_a_nul_is_not_cut_to_an_innocent_one() -> None:
    packed = a_zip(("mainXpy", b"x")).replace(b"mainXpy", b"main\x00py")
    with pytest.raises(BuildError, match="control character"):
        read_archive(packed)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(kind: bytes) -> None:
    with pytest.raises(BuildError, match="link, a device or another special file") as caught:
        read_archive(a_tar(plain("main.py"), ("thing", kind, b"")))
    assert caught.value.code == "archive_refused"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(kind: int) -> None:
    with pytest.raises(BuildError, match="link, a device or another special file"):
        read_archive(a_zip(("thing", b"/etc/passwd"), attributes=kind | 0o777))


@pytest.mark.parametrize(
    "names",
    [
        ("a.py", "a.py"), ("a.py", "./a.py"), ("A.py", "a.py"), ("straße", "STRASSE"), ("a", "a/b"),
        ("Lib/a.py", "lib/b.py"), ("ﬁle", "file"), ("K", "\u212a".lower()),
    ],
)  # fmt: skip
def test_names_that_are_one_file_somewhere_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(BuildError) as caught:
        read_archive(a_tar(*map(plain, names)))
    assert caught.value.code == "archive_refused"


def test_a_bomb_in_one_file_is_refused_while_it_unfolds() -> None:
    bomb = bytes(tree.MAX_TOTAL_BYTES)
    for packed in (gzip.compress(a_tar(plain("bomb", bomb))), a_zip(("bomb", bomb))):
        assert len(packed) < 100_000
        with pytest.raises(BuildError) as caught:
            read_archive(packed)
        assert caught.value.code == "archive_too_large"


@pytest.mark.parametrize("compress", [gzip.compress, bytes])
def test_a_flood_of_folders_is_refused(compress: Callable[[bytes], bytes]) -> None:
    folders = [(f"f{number}", tarfile.DIRTYPE, b"") for number in range(archive.MAX_MEMBERS + 1)]
    with pytest.raises(BuildError) as caught:
        read_archive(compress(a_tar(*folders)))
    assert caught.value.code == "archive_too_large"


def test_a_zip_with_a_huge_directory_is_refused_before_it_is_read() -> None:
    entry = a_zip(("f", b""))
    directory = entry[entry.index(b"PK\x01\x02") : entry.index(b"PK\x05\x06")]
    with pytest.raises(BuildError) as caught:
        read_archive(b"PK\x03\x04" + directory * (archive.MAX_MEMBERS + 1))
    assert caught.value.code == "archive_too_large"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_compressed_in_another_way_is_refused(method: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        packed.writestr("main.py", b"x" * 100)
    with pytest.raises(BuildError, match="another way than deflate"):
        read_archive(buffer.getvalue())


@pytest.mark.parametrize(
    "content", [b"1" * 1_000_000, b"9" * 16_000, b"6 a=\n", b"99 path=x\n", b"0 path=x\n"]
)
def test_a_crafted_extended_header_is_refused_at_once(content: bytes) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(content)
    started = time.process_time()
    with pytest.raises(BuildError) as caught:
        read_archive(info.tobuf() + content + bytes(-len(content) % 512) + a_tar(plain("main.py")))
    assert caught.value.code == "archive_refused"
    # The standard library's reader takes quadratic time on these in some releases.
    assert time.process_time() - started < 2


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("name", ["main.py", "./main.py", "folder/" * 15 + "é.py"])
def test_every_common_form_of_tar_is_read(kind: int, name: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as packed:
        root = tarfile.TarInfo("./")
        root.type = tarfile.DIRTYPE
        packed.addfile(root)
        info = tarfile.TarInfo(name)
        info.size = 3
        packed.addfile(info, io.BytesIO(b"abc"))
    assert read_archive(buffer.getvalue()) == {name.removeprefix("./"): b"abc"}


def test_a_gzip_that_hides_its_size_in_a_header_is_refused() -> None:
    # An extended header of many megabytes belongs to no file, so only the whole stream's bound sees it.
    info = tarfile.TarInfo("pax")
    info.type = tarfile.XHDTYPE
    info.size = tree.MAX_TOTAL_BYTES + archive.MAX_MEMBERS * 2_048
    with pytest.raises(BuildError) as caught:
        read_archive(gzip.compress(info.tobuf() + bytes(info.size), 1))
    assert caught.value.code == "archive_too_large"


def test_too_many_files_and_too_large_files_are_refused() -> None:
    many = a_tar(*(plain(f"f{number}") for number in range(tree.MAX_FILES + 1)))
    large = a_tar(plain("large", b"\x01" * (tree.MAX_FILE_BYTES + 1)))
    for packed in (many, large):
        with pytest.raises(BuildError) as caught:
            read_archive(packed)
        assert caught.value.code == "archive_too_large"
    with pytest.raises(BuildError) as caught:
        read_archive(b"\0" * (archive.MAX_ARCHIVE_BYTES + 1))
    assert caught.value.code == "archive_too_large"


def test_an_encrypted_zip_is_refused() -> None:
    packed = bytearray(a_zip(("main.py", b"x")))
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BuildError, match="encrypted"):
        read_archive(bytes(packed))


@pytest.mark.parametrize(
    "content",
    [b"\x1f\x8bnot gzip", b"PK\x03\x04broken", b"not an archive" * 100, b"\xfd7zXZ\x00" * 200],
)
def test_broken_archives_end_in_one_sentence(content: bytes) -> None:
    with pytest.raises(BuildError, match=r"^The archive cannot be read: .*\.$") as caught:
        read_archive(content)
    assert caught.value.code == "archive_refused"


@given(
    st.binary(max_size=2_000),
    st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b\x08"]),
)
def test_any_bytes_are_a_tree_or_a_refusal(noise: bytes, magic: bytes) -> None:
    try:
        found = read_archive(magic + noise)
    except BuildError as error:
        found = {error.code: b""}
    assert set(found) <= {"archive_refused", "archive_too_large"}


_names = st.from_regex(r"[a-z0-9_]{1,8}(/[a-z0-9_]{1,8}){0,3}", fullmatch=True)


@given(st.dictionaries(_names, st.binary(max_size=200), max_size=12))
def test_every_packing_of_a_tree_is_the_same_tree(files: dict[str, bytes]) -> None:
    try:
        tree.normalise(files)
    except BuildError:
        return
    packed = a_tar(*(plain(path, content) for path, content in files.items()))
    assert read_archive(packed) == {path: files[path] for path in files if not tree.is_left_out(path)}
    turned = a_tar(*(plain(path, files[path]) for path in reversed(list(files))))
    assert read_archive(turned) == read_archive(packed)
    assert read_archive(gzip.compress(packed)) == read_archive(packed)
    assert read_archive(a_zip(*files.items())) == read_archive(packed)


def test_leftovers_of_tools_are_left_out() -> None:
    files = {
        "main.py": b"1",
        "__pycache__/main.cpython-311.pyc": b"2",
        ".git/HEAD": b"3",
        "a/.DS_Store": b"4",
    }
    assert list(read_archive(a_zip(*files.items()))) == ["main.py"]
