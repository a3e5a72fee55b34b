"""The list of packages that a base image is made of: names, versions and the SHA-256 of each file.

Pure but for reading the lists that lie beside it. A list is canonical JSON;
`apt` says how a new one comes about.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rfc8785

from builders.errors import BuildError

__all__ = ["Package", "PackageList", "known_runtimes", "list_path", "parse_list", "read_list"]

FORMAT = 1
_LISTS = Path(__file__).with_name("lists")
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]{1,100}")
_VERSION = re.compile(r"[A-Za-z0-9.+:~-]{1,100}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Package:
    """One package file."""

    name: str
    version: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class PackageList:
    """What a base image of one runtime and platform is made of."""

    # "python3.11"
    runtime: str
    # "linux-x86_64"
    platform: str
    # Whose packages they are, as in `pkg:deb/debian/…`, and its release.
    vendor: str
    release: str
    packages: tuple[Package, ...]

    @property
    def content(self) -> bytes:
        """Return the list in its one canonical form."""
        packages = sorted(self.packages, key=lambda item: item.name)
        return rfc8785.dumps(
            {
                "format": FORMAT,
                "runtime": self.runtime,
                "platform": self.platform,
                "vendor": self.vendor,
                "release": self.release,
                "packages": [
                    {"name": item.name, "version": item.version, "sha256": item.sha256, "size": item.size}
                    for item in packages
                ],
            }
        )

    @property
    def digest(self) -> str:
        """Return the digest of the canonical form."""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


def list_path(runtime: str, platform: str) -> Path:
    """Return where a list lies, whether or not it is there."""
    return _LISTS / f"{runtime}-{platform}.json"


def known_runtimes(platform: str) -> tuple[str, ...]:
    """Return the runtimes that a platform has base images for."""
    return tuple(
        sorted(path.name.removesuffix(f"-{platform}.json") for path in _LISTS.glob(f"*-{platform}.json"))
    )


def read_list(runtime: str, platform: str) -> PackageList:
    """Return the list of a runtime. Raises BuildError `base_unavailable` when there is none."""
    if runtime not in known_runtimes(platform):
        raise BuildError(
            "base_unavailable",
            f"There is no base image for {runtime} on {platform}; there is one for "
            f"{', '.join(known_runtimes(platform)) or 'none'}.",
            hint="Freeze the function for a runtime that has a base image.",
        )
    return parse_list(list_path(runtime, platform).read_bytes())


def parse_list(content: bytes) -> PackageList:
    """Return the list that bytes hold. Raises BuildError `base_unavailable`."""
    try:
        found = json.loads(content)
        packages = tuple(_package(item) for item in found["packages"])
        listed = PackageList(found["runtime"], found["platform"], found["vendor"], found["release"], packages)
    except (ValueError, KeyError, TypeError) as error:
        raise BuildError("base_unavailable", f"The list of packages cannot be read: {error}.") from error
    if found["format"] != FORMAT or len({item.name for item in packages}) != len(packages):
        raise BuildError("base_unavailable", "The list of packages is of another format, or names one twice.")
    return listed


def _package(item: dict[str, Any]) -> Package:
    package = Package(item["name"], item["version"], item["sha256"], item["size"])
    fits = _NAME.fullmatch(package.name) and _VERSION.fullmatch(package.version)
    if not fits or not _SHA256.fullmatch(package.sha256) or type(package.size) is not int:
        raise ValueError(f"{item!a:.200} is no package")
    return package
