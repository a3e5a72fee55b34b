"""The fixed list of platforms that every version is built for, and their wheel tags.

Pure. A wheel is chosen by these tags, never by the machine that happens to
lock, so that every machine locks the same artefacts.
"""

from __future__ import annotations

import platform as machine
import sys
from dataclasses import dataclass
from functools import cache

from packaging.tags import Tag, compatible_tags, cpython_tags

from builders.errors import BuildError

__all__ = ["GLIBC_MINOR", "PLATFORMS", "Platform", "machine_platform", "marker_environments", "wheel_tags"]

# glibc 2.28 is the floor of every distribution still supported that has Python 3.11.
GLIBC_MINOR = 28
# Legacy names of the manylinux tags, by glibc minor.
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OTHER_SPELLINGS = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Platform:
    """One platform as its several neighbours spell it."""

    # Ours, in locks and manifests.
    name: str
    # As `platform.machine()` and wheel tags have it.
    machine: str
    # As an OCI image has it.
    oci_architecture: str

    @property
    def uv_target(self) -> str:
        """The value of uv's --python-platform."""
        return f"{self.machine}-manylinux_2_{GLIBC_MINOR}"


PLATFORMS = {
    "linux-aarch64": Platform("linux-aarch64", "aarch64", "arm64"),
    "linux-x86_64": Platform("linux-x86_64", "x86_64", "amd64"),
}


def machine_platform() -> str:
    """Return the name of this machine's platform."""
    reported = machine.machine().lower()
    name = f"{sys.platform}-{_OTHER_SPELLINGS.get(reported, reported)}"
    if name not in PLATFORMS or machine.libc_ver()[0] != "glibc":
        raise BuildError(
            "platform_unsupported",
            f"This machine is {name} with {machine.libc_ver()[0] or 'another libc'}; versions are built for "
            f"{', '.join(PLATFORMS)} with glibc.",
            hint="Run on one of these platforms.",
        )
    return name


def marker_environments(platform: Platform, python: str) -> tuple[dict[str, str], ...]:
    """Return the marker environments of a minor's first and last patch release.

    A version runs on any patch release of its minor, so a dependency that
    either end needs is part of it.
    """
    return tuple(
        {
            "implementation_name": "cpython",
            "implementation_version": f"{python}.{patch}",
            "os_name": "posix",
            "platform_machine": platform.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{python}.{patch}",
            "python_version": python,
            "sys_platform": "linux",
            "extra": "",
        }
        for patch in (0, 999)
    )


@cache
def wheel_tags(platform: Platform, python: str) -> dict[Tag, int]:
    """Return the tags that fit, with their rank: 0 is the most specific."""
    major, minor = map(int, python.split("."))
    names = []
    oldest = 5 if platform.machine == "x86_64" else 17
    for glibc in range(GLIBC_MINOR, oldest - 1, -1):
        names.append(f"manylinux_2_{glibc}_{platform.machine}")
        if glibc in _LEGACY:
            names.append(f"{_LEGACY[glibc]}_{platform.machine}")
    names.append(f"linux_{platform.machine}")
    tags = [
        *cpython_tags((major, minor), platforms=names),
        *compatible_tags((major, minor), interpreter=f"cp{major}{minor}", platforms=names),
    ]
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}
