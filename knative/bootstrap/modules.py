"""What is built, from which Go modules, and the key under which a build is kept. Pure.

Versions stand in each module's go.mod and go.sum alone. How a build is run is
`knative.bootstrap.build`'s.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

__all__ = ["HELM", "MODULES", "Binary", "Module", "build_key", "link_flags", "required_version"]


@dataclass(frozen=True, slots=True)
class Binary:
    """One program: what it is called here, and its package ('.' is the module's own)."""

    name: str
    package: str = "."


@dataclass(frozen=True, slots=True)
class Module:
    """One folder of `modules/`: what is built there, and which YAML of its dependencies is kept."""

    name: str
    binaries: tuple[Binary, ...]
    # The dependencies whose shipped manifests are kept beside the binaries, by module path,
    # each with the folders that hold them.
    manifests: Mapping[str, tuple[str, ...]]
    # The dependency whose version the binaries report, where they must.
    reports: str = ""


_SERVING = "knative.dev/serving/cmd"
_EVENTING = "knative.dev/eventing/cmd"

MODULES = (
    Module("kubernetes", (Binary("ingot-kube"),), {}, reports="k8s.io/kubernetes"),
    Module("coredns", (Binary("coredns"),), {}),
    Module("pause", (Binary("pause"),), {}),
    Module("minio", (Binary("minio", "github.com/minio/minio"),), {}),
    Module(
        "knative",
        (
            Binary("serving-controller", f"{_SERVING}/controller"),
            Binary("serving-webhook", f"{_SERVING}/webhook"),
            Binary("autoscaler", f"{_SERVING}/autoscaler"),
            Binary("activator", f"{_SERVING}/activator"),
            Binary("queue", f"{_SERVING}/queue"),
            Binary("eventing-controller", f"{_EVENTING}/controller"),
            Binary("eventing-webhook", f"{_EVENTING}/webhook"),
            Binary("mtchannel-broker", f"{_EVENTING}/mtchannel_broker"),
            Binary("broker-ingress", f"{_EVENTING}/broker/ingress"),
            Binary("broker-filter", f"{_EVENTING}/broker/filter"),
            Binary("channel-controller", f"{_EVENTING}/in_memory/channel_controller"),
            Binary("channel-dispatcher", f"{_EVENTING}/in_memory/channel_dispatcher"),
        ),
        {
            "knative.dev/serving": ("config/core",),
            "knative.dev/networking": ("config",),
            "knative.dev/caching": ("config",),
            "knative.dev/eventing": (
                "config/core",
                "config/channels/in-memory-channel",
                "config/brokers/mt-channel-broker",
                "third_party/eventing-integrations-latest",
            ),
        },
    ),
)

# Not of the cluster, so it is built by whoever asks for it: tests of the chart.
HELM = Module("helm", (Binary("helm", "helm.sh/helm/v3/cmd/helm"),), {})

# Kubernetes' programs report these; Knative refuses a server that reports no version.
_VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def required_version(module_file: str, path: str) -> str:
    """Return the version of a module that a go.mod requires. Raises ValueError."""
    found = re.search(rf"^\s*(?:require\s+)?{re.escape(path)} (v\S+)", module_file, re.MULTILINE)
    if found is None:
        raise ValueError(f"go.mod requires no {path}")
    return found[1]


def link_flags(module: Module, module_file: str) -> str:
    """Return the linker's flags: no symbol tables, and the version where one is reported."""
    flags = ["-s", "-w"]
    if module.reports:
        version = required_version(module_file, module.reports)
        major, minor = version.removeprefix("v").split(".")[:2]
        values = {
            "gitVersion": version,
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "clean",
            # Not the time of the build: the same sources make the same bytes.
            "buildDate": "1970-01-01T00:00:00Z",
        }
        flags += [
            f"-X {package}.{name}={value}" for package in _VERSION_PACKAGES for name, value in values.items()
        ]
    return " ".join(flags)


def build_key(module: Module, sources: Mapping[str, bytes], toolchain: str) -> str:
    """Return the key of a build: whatever changes the binaries changes it."""
    content = {
        "module": asdict(module),
        "sources": {name: hashlib.sha256(data).hexdigest() for name, data in sources.items()},
        "toolchain": toolchain,
        "flags": link_flags(module, sources["go.mod"].decode()),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]
