"""Asks apt for packages: the files that a list pins, or the versions that a new list should pin.

Nothing is installed. A file counts by its SHA-256 alone, wherever it came from.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from builders.base.package_list import Package, PackageList
from builders.errors import BuildError
from builders.storage import temporary_folder

__all__ = ["fetch_packages", "newest"]

_TIMEOUT_S = 600.0
_OPTIONS = ("-q", "-o", "Acquire::http::Timeout=30", "-o", "Acquire::Retries=2")
_FIELDS = re.compile(r"^(Package|Version|SHA256|Size): (.*)$", re.MULTILINE)


def fetch_packages(wanted: PackageList, cache: Path) -> dict[str, Path]:
    """Return name -> file of every package, from the cache where it is there whole."""
    cache.mkdir(parents=True, exist_ok=True)
    missing = [item for item in wanted.packages if not _is_whole(cache / f"{item.sha256}.deb", item)]
    if missing:
        _download(missing, cache)
    return {item.name: cache / f"{item.sha256}.deb" for item in wanted.packages}


def newest(known: PackageList) -> PackageList:
    """Return the list with the versions that apt would install now."""
    names = [item.name for item in known.packages]
    text = _run(["apt-cache", "show", "--no-all-versions", *names], Path("/"))
    found: dict[str, Package] = {}
    for block in text.split("\n\n"):
        fields = dict(_FIELDS.findall(block))
        if fields.keys() >= {"Package", "Version", "SHA256", "Size"}:
            found.setdefault(
                fields["Package"],
                Package(fields["Package"], fields["Version"], fields["SHA256"], int(fields["Size"])),
            )
    if set(names) - set(found):
        raise _unavailable(f"apt knows no package {', '.join(sorted(set(names) - set(found)))}")
    return replace(known, packages=tuple(found[name] for name in sorted(names)))


def _is_whole(path: Path, item: Package) -> bool:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == item.sha256
    except FileNotFoundError:
        return False


def _download(missing: Sequence[Package], cache: Path) -> None:
    with temporary_folder(cache) as work:
        pins = [f"{item.name}={item.version}" for item in missing]
        output = _run(["apt-get", "download", *_OPTIONS, *pins], work)
        for path in work.glob("*.deb"):
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            path.rename(cache / f"{digest}.deb")
    absent = [item.name for item in missing if not _is_whole(cache / f"{item.sha256}.deb", item)]
    if absent:
        raise _unavailable(f"the files of {', '.join(absent)} are not those of the list", output)


def _run(command: list[str], folder: Path) -> str:
    if shutil.which(command[0]) is None:
        raise _unavailable(f"{command[0]} is not on this machine")
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _unavailable(f"{command[0]} took longer than {_TIMEOUT_S:g} s") from error
    if done.returncode != 0:
        raise _unavailable(f"{command[0]} ended with status {done.returncode}", done.stderr or done.stdout)
    return done.stdout


def _unavailable(why: str, output: str = "") -> BuildError:
    return BuildError(
        "base_unavailable",
        f"The packages of the base image cannot be had: {why}.",
        hint="Run apt-get update; when the archive has newer versions, make the list anew with "
        "scripts/base_image.py relock and look at what changed.",
        log=tuple(output.splitlines()[-10:]),
    )
