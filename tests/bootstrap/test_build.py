"""The cache of builds, with a stand-in for the Go toolchain: nothing here needs minutes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from knative.bootstrap import build
from knative.bootstrap.build import ensure_builds
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.modules import Binary, Module

# Writes what it was told into the program it builds, and counts how often it was called for one.
_GO = """#!/bin/sh
case "$1" in
env) printf '%s\\n' "${FAKE_GO_VERSION:-go1.26}" linux amd64 ;;
build)
    echo built >>"$FAKE_GO_LOG"
    [ -z "$FAKE_GO_FAILS" ] || { echo 'main.go:1: no' >&2; exit 1; }
    while [ "$1" != -o ]; do shift; done
    printf '%s %s' "$CGO_ENABLED" "$3" >"$2" ;;
mod) printf '{"Dir": "%s"}' "$FAKE_GO_MODULE" ;;
esac
"""
_MODULE = Module("tool", (Binary("one"), Binary("two", "./two")), {"example.dev/tool": ("config",)})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache, with one module to build and a toolchain that builds it at once."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(_GO)
    go.chmod(0o755)
    source = tmp_path / "modules" / "tool"
    source.mkdir(parents=True)
    (source / "go.mod").write_text("module x\n\nrequire example.dev/tool v1.0.0\n")
    (source / "go.sum").write_text("example.dev/tool v1.0.0 h1:x\n")
    shipped = tmp_path / "shipped" / "config" / "deep"
    shipped.mkdir(parents=True)
    (shipped / "a.yaml").write_text("kind: A\n")
    (shipped / "a.go").write_text("package a\n")
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_GO_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FAKE_GO_MODULE", str(tmp_path / "shipped"))
    monkeypatch.setattr(build, "_SOURCES", tmp_path / "modules")
    monkeypatch.setattr(build, "MODULES", (_MODULE,))
    return tmp_path / "cache"


def times(cache: Path) -> int:
    log = cache.parent / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_a_program_is_built_once_without_a_c_compiler_and_found_afterwards(cache: Path) -> None:
    builds = ensure_builds(cache)
    assert builds.binary("two").read_text() == "0 ./two"
    assert (builds.manifests("example.dev/tool") / "config/deep/a.yaml").read_text() == "kind: A\n"
    assert not (builds.manifests("example.dev/tool") / "config/deep/a.go").exists()
    assert times(cache) == 2
    assert ensure_builds(cache).key == builds.key
    assert times(cache) == 2


def test_another_toolchain_or_another_sum_builds_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ensure_builds(cache)
    monkeypatch.setenv("FAKE_GO_VERSION", "go1.27")
    second = ensure_builds(cache)
    (cache.parent / "modules" / "tool" / "go.sum").write_text("example.dev/tool v1.0.0 h1:y\n")
    third = ensure_builds(cache)
    assert len({first.key, second.key, third.key}) == 3
    assert times(cache) == 6


def test_a_build_that_failed_leaves_nothing_and_says_what_the_compiler_said(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_FAILS", "yes")
    with pytest.raises(ClusterError, match=r"main\.go:1: no"):
        ensure_builds(cache)
    assert list(cache.iterdir()) == []
    monkeypatch.setenv("FAKE_GO_FAILS", "")
    assert ensure_builds(cache).binary("one").exists()


def test_builds_that_nobody_used_lately_are_forgotten(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []
    for number in range(5):
        monkeypatch.setenv("FAKE_GO_VERSION", f"go1.{number}")
        folder = ensure_builds(cache).binary("one").parents[1]
        # Used long ago, each a little later than the one before.
        os.utime(folder, (number, number))
        folders.append(folder)
    monkeypatch.setenv("FAKE_GO_VERSION", "go1.4")
    ensure_builds(cache)
    assert [folder.exists() for folder in folders] == [False, False, True, True, True]


def test_without_go_the_way_out_is_said(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ClusterError, match="go is not installed") as caught:
        ensure_builds(cache)
    assert "Install Go" in caught.value.hint


def test_one_module_alone_can_be_built(cache: Path) -> None:
    ensure_builds(cache, ["absent"])
    assert times(cache) == 0
    assert ensure_builds(cache, ["tool"]).binary("one").exists()
    assert times(cache) == 2
