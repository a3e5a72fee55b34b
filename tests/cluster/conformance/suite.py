"""Knative's own conformance suite for an ingress: built from its Go module, run against a cluster.

The version stands in go.mod and go.sum alone; nothing of it is kept in this
repository. What its answers mean is for the test beside this folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["IMAGES", "Case", "Suite", "build", "cases_of"]

SOURCES = Path(__file__).parent
IMAGES = ("grpc-ping", "httpproxy", "retry", "runtime", "timeout", "wsserver")
TEST = "ingress.test"
_PACKAGE = "knative.dev/networking/test"
# No C compiler, no state of a checkout, no fetched toolchain.
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
_BUILD_S = 1_800
_CASE = re.compile(r"^    --- (PASS|FAIL|SKIP): TestIngressConformance/(\S+) \(([\d.]+)s\)", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """One case of the suite."""

    name: str
    outcome: str
    seconds: float


@dataclass(frozen=True)
class Suite:
    """The built suite: its test, and the programs that it starts in the cluster."""

    folder: Path

    def program(self, name: str) -> Path:
        return self.folder / name

    def run(self, arguments: list[str], kubeconfig: Path, seconds: float) -> tuple[int, str]:
        """Run it; returns its code and all that it said."""
        command = [
            str(self.program(TEST)),
            "-test.v",
            f"-test.timeout={int(seconds)}s",
            "-test.run=TestIngressConformance",
            f"--kubeconfig={kubeconfig}",
            *arguments,
        ]
        ended = subprocess.run(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds + 30,
            check=False,
        )
        return ended.returncode, ended.stdout.decode("utf-8", "replace")


def cases_of(output: str) -> list[Case]:
    """Return the cases in what the suite said."""
    return [Case(name, outcome, float(took)) for outcome, name, took in _CASE.findall(output)]


def build(cache: Path) -> Suite:
    """Build the suite, or return the build of the same sources and toolchain."""
    environment = {**os.environ, **_ENVIRONMENT}
    toolchain = subprocess.run(
        ["go", "env", "GOVERSION", "GOOS", "GOARCH"], capture_output=True, check=True, env=environment
    ).stdout
    files = sorted(path for path in SOURCES.iterdir() if path.name.startswith("go.") or path.suffix == ".go")
    content = toolchain + b"".join(path.read_bytes() for path in files)
    folder = cache / f"conformance-{hashlib.sha256(content).hexdigest()[:16]}"
    if folder.is_dir():
        return Suite(folder)
    cache.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=cache, prefix=".conformance-"))
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", "-s -w"]
    images = [f"{_PACKAGE}/test_images/{name}" for name in IMAGES]
    test = f"{_PACKAGE}/conformance/ingress"
    try:
        for command in (
            ["go", "build", *flags, "-o", f"{made}/", *images],
            ["go", "test", "-c", "-tags", "e2e", *flags, "-o", str(made / TEST), test],
        ):
            subprocess.run(command, cwd=SOURCES, env=environment, timeout=_BUILD_S, check=True)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return Suite(folder)
