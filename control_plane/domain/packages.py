"""Which packages a version was locked with, so that a bad one is found in every function at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from control_plane.domain.versions import VersionState
from control_plane.errors import Invalid

__all__ = ["PackageUse", "normal_name"]

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,198}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class PackageUse:
    """One version of a function that contains one version of a package."""

    # The version's id.
    version: str
    project: str
    function: str
    function_name: str
    number: int
    digest: str
    state: VersionState
    published_ms: int
    package: str
    package_version: str


def normal_name(name: str) -> str:
    """Return the name under which an index knows a package: `Foo._bar` is `foo-bar`."""
    if not _NAME.fullmatch(name):
        raise Invalid(f"“{name[:80]}” is not the name of a package.", field="name")
    return re.sub(r"[-_.]+", "-", name).lower()
