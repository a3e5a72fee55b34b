"""Archives that no draft may be made of: links, ways out, devices, bombs, liars. Made in memory."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile

__all__ = ["hostile_archives"]

_TAR, _GZIP, _ZIP = "application/x-tar", "application/gzip", "application/zip"
_REFUSED = ("archive_refused",)
_EITHER = ("archive_refused", "archive_too_large", "too_large")


def hostile_archives() -> dict[str, tuple[str, bytes, tuple[str, ...]]]:
    """Return name -> (content type, archive, codes of which the refusal has one)."""
    links = {"symbolic link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE}
    devices = {"device": tarfile.BLKTYPE, "character device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}
    names = {
        "way out": "../outside.py",
        "hidden way out": "a/../../outside.py",
        "absolute name": "/etc/cron.d/x",
        "backslashes": "..\\outside.py",
        "empty part": "a//b.py",
        "line break": "a\nb.py",
        "long name": "x" * 3_000,
        "deep name": "d/" * 400 + "x",
    }
    whole = _tar(_entry("main.py", b"x = 1\n" * 2_000))
    return {
        **{
            name: (_TAR, _tar(_entry("link", kind=kind, target="/etc/shadow")), _REFUSED)
            for name, kind in links.items()
        },
        **{name: (_TAR, _tar(_entry("dev", kind=kind)), _REFUSED) for name, kind in devices.items()},
        **{f"tar: {what}": (_TAR, _tar(_entry(name, b"x")), _REFUSED) for what, name in names.items()},
        **{f"zip: {what}": (_ZIP, _zip(name), _REFUSED) for what, name in names.items()},
        "link, then a file behind it": (
            _TAR,
            _tar(_entry("d", kind=tarfile.SYMTYPE, target="/tmp"), _entry("d/x.py", b"x")),
            _REFUSED,
        ),
        "link in a zip": (_ZIP, _zip("link", stat.S_IFLNK | 0o777), _REFUSED),
        "the same name twice": (_TAR, _tar(_entry("a.py", b"1"), _entry("a.py", b"2")), _REFUSED),
        "names that differ by case": (_TAR, _tar(_entry("a.py", b"1"), _entry("A.py", b"2")), _REFUSED),
        "cut off": (_TAR, whole[:4_000], _REFUSED),
        "no archive": (_TAR, b"this is no archive" * 100, _REFUSED),
        "bomb in gzip": (_GZIP, gzip.compress(b"\0" * (200 << 20), 9), _EITHER),
        "bomb in zip": (_ZIP, _zip("zeros", content=b"\0" * (100 << 20)), _EITHER),
        "too many files": (_TAR, _tar(*(_entry(f"f{number}", b"x") for number in range(12_000))), _EITHER),
    }


def _entry(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, target, len(content)
    return entry, content


def _tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _zip(name: str, mode: int = stat.S_IFREG | 0o644, content: bytes = b"x") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, content)
    return packed.getvalue()
