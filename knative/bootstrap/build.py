"""Builds the programs of `knative.bootstrap.modules` with the ordinary `go build`, once for each key.

A build lies in the cache as one folder: `bin/` and, where the module has some,
`manifests/`. It appears whole or not at all, whatever is killed in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from knative.bootstrap.commands import run
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.modules import HELM, MODULES, Module, build_key, link_flags, required_version

__all__ = ["Builds", "built_folders", "ensure_builds", "ensure_helm"]

_SOURCES = Path(__file__).parent / "modules"
_GO = "Install Go (https://go.dev/dl, the version in modules/*/go.mod or newer) and put `go` in PATH."
# Several checkouts share the cache: a few older builds stay for them.
_KEPT = 3
_BUILD_SECONDS = 3_600.0
# No C compiler, no state of a checkout, no fetched toolchain: what is here is what builds.
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}


class Builds:
    """Where each module's build lies."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders

    def binary(self, name: str) -> Path:
        """Return a program by its name here."""
        for module in MODULES:
            if any(binary.name == name for binary in module.binaries):
                return self._folders[module.name] / "bin" / name
        raise KeyError(name)

    def manifests(self, path: str) -> Path:
        """Return the folder that has the shipped YAML of a dependency."""
        for module in MODULES:
            if path in module.manifests:
                return self._folders[module.name] / "manifests" / path
        raise KeyError(path)

    @property
    def key(self) -> str:
        """Return what names all builds together."""
        return "+".join(folder.name for folder in self._folders.values())


def built_folders(cache: Path) -> dict[str, Path]:
    """Return where the build of each module lies, or would."""
    toolchain = _toolchain()
    return {module.name: _folder(cache, module, toolchain) for module in MODULES}


def _folder(cache: Path, module: Module, toolchain: str) -> Path:
    return cache / f"{module.name}-{build_key(module, _sources(module), toolchain)}"


def ensure_builds(cache: Path, only: Collection[str] = ()) -> Builds:
    """Return the builds, making those that the cache does not have; `only` names modules, none means all."""
    folders = built_folders(cache)
    cache.mkdir(parents=True, exist_ok=True)
    for module in MODULES:
        if not only or module.name in only:
            _ensure(cache, module, folders[module.name])
    return Builds(folders)


def ensure_helm(cache: Path) -> Path:
    """Return the Helm program, built if need be; the cluster itself needs none."""
    folder = _folder(cache, HELM, _toolchain())
    cache.mkdir(parents=True, exist_ok=True)
    _ensure(cache, HELM, folder)
    return folder / "bin" / "helm"


def _ensure(cache: Path, module: Module, folder: Path) -> None:
    if not folder.is_dir():
        began = time.monotonic()
        print(f"  building {module.name} (once; minutes on a small machine) ...", flush=True)
        _build(module, folder)
        print(f"  built {module.name} in {time.monotonic() - began:.0f} s", flush=True)
    os.utime(folder)
    _forget_older(cache, module, folder)


def _toolchain() -> str:
    if shutil.which("go") is None:
        raise ClusterError("go is not installed", hint=_GO)
    return run(["go", "env", "GOVERSION", "GOOS", "GOARCH"], environment=_ENVIRONMENT)


def _sources(module: Module) -> dict[str, bytes]:
    folder = _SOURCES / module.name
    files = [*folder.glob("go.*"), *folder.glob("*.go")]
    return {path.name: path.read_bytes() for path in sorted(files)}


def _build(module: Module, folder: Path) -> None:
    # In the same folder, so that the finished build can be renamed into place.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{module.name}-") as made:
        whole = Path(made) / "build"
        (whole / "bin").mkdir(parents=True)
        source = _SOURCES / module.name
        flags = link_flags(module, (source / "go.mod").read_text(encoding="utf-8"))
        for binary in module.binaries:
            output = whole / "bin" / binary.name
            command: list[str | Path] = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags]
            run(
                [*command, "-o", output, binary.package],
                timeout=_BUILD_SECONDS,
                cwd=source,
                environment=_ENVIRONMENT,
            )
        for path, kept in module.manifests.items():
            _keep_manifests(source, path, kept, whole / "manifests" / path)
        # Another process may have built the same meanwhile: its build is as good.
        with contextlib.suppress(OSError):
            whole.rename(folder)
    if not folder.is_dir():
        raise ClusterError(f"the build of {module.name} could not be kept in {folder}")


def _keep_manifests(source: Path, path: str, kept: tuple[str, ...], target: Path) -> None:
    version = required_version((source / "go.mod").read_text(encoding="utf-8"), path)
    command = ["go", "mod", "download", "-json", f"{path}@{version}"]
    found = json.loads(run(command, timeout=600, cwd=source, environment=_ENVIRONMENT))
    for folder in kept:
        for file in sorted((Path(found["Dir"]) / folder).rglob("*.yaml")):
            copy = target / file.relative_to(found["Dir"])
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def _forget_older(cache: Path, module: Module, current: Path) -> None:
    """Remove the least recently used builds of a module beyond a few."""
    builds = [path for path in cache.glob(f"{module.name}-*") if path.is_dir() and path != current]
    builds.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in builds[_KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)
