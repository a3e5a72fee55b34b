"""The real base image for tests, from this machine's package archive."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

from builders.base.apt import fetch_packages, newest
from builders.base.assemble import BaseImage, make_base
from builders.base.package_list import PackageList, read_list
from builders.base.runtime_files import Runtime
from builders.build import machine_platform
from builders.errors import BuildError

__all__ = ["RUNTIME", "packages", "real_base", "runtime"]

RUNTIME = "python3.11"
_ROOT = Path(__file__).resolve().parents[2]


def runtime() -> Runtime:
    """Return the runtime of this checkout."""
    return Runtime(_ROOT / "templates" / "runtimes" / "python", Path(sysconfig.get_path("platlib")))


def packages(cache: Path) -> PackageList:
    """Return the committed list, or, once the archive has moved on, its newest. Raises FileNotFoundError."""
    listed = read_list(RUNTIME, machine_platform())
    try:
        fetch_packages(listed, cache / "packages")
    except BuildError:
        return _newest(listed, cache)
    return listed


def _newest(listed: PackageList, cache: Path) -> PackageList:
    if os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True, timeout=300, check=False)
    try:
        found = newest(listed)
        fetch_packages(found, cache / "packages")
    except BuildError as error:
        raise FileNotFoundError(f"no packages for the base image: {error.message} {error.log}") from error
    return found


def real_base(folder: Path) -> BaseImage:
    """Return the base image, made below a folder. Raises FileNotFoundError where there are no packages."""
    cache = folder / "cache"
    return make_base(packages(cache), runtime(), folder / "blobs", cache)
