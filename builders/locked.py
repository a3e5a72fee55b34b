"""The lock: which wheel of which version a draft uses on each platform.

Pure. A lock is canonical JSON without any address, so the same resolution
gives the same bytes behind any mirror. Making one is `builders.lock`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785
from packaging.utils import canonicalize_name

from builders.errors import BuildError
from builders.platforms import PLATFORMS

__all__ = ["Lock", "LockedPackage", "Wheel", "make_lock", "read_lock"]

FORMAT = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[A-Za-z0-9.!+_-]{1,100}")
_FILE = re.compile(r"[A-Za-z0-9_.+!-]{1,200}\.whl")


@dataclass(frozen=True, slots=True)
class Wheel:
    """One artefact: its file name and the SHA-256 of its bytes."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One version of one package, and its wheel on each platform that needs it."""

    name: str
    version: str
    wheels: Mapping[str, Wheel]


@dataclass(frozen=True, slots=True)
class Lock:
    """A resolution. `content` is the canonical JSON, `digest` its SHA-256."""

    content: bytes
    digest: str
    python: str
    # What was asked for, in the plan's normal form: tells a stale lock.
    requirements: tuple[str, ...]
    packages: tuple[LockedPackage, ...]

    def for_platform(self, platform: str) -> tuple[tuple[LockedPackage, Wheel], ...]:
        """Return the packages that a platform needs, with their wheels, by name."""
        return tuple((item, item.wheels[platform]) for item in self.packages if platform in item.wheels)


def make_lock(python: str, requirements: Iterable[str], packages: Iterable[LockedPackage]) -> Lock:
    """Return the lock in its one canonical form."""
    ordered = tuple(sorted(packages, key=lambda item: (item.name, item.version)))
    asked = tuple(sorted(set(requirements)))
    document: dict[str, Any] = {
        "format": FORMAT,
        "packages": [
            {
                "name": item.name,
                "version": item.version,
                "wheels": {
                    platform: {"file": wheel.file, "sha256": wheel.sha256}
                    for platform, wheel in item.wheels.items()
                },
            }
            for item in ordered
        ],
        "platforms": sorted(PLATFORMS),
        "python": python,
        "requirements": list(asked),
    }
    content = rfc8785.dumps(document)
    return Lock(content, f"sha256:{hashlib.sha256(content).hexdigest()}", python, asked, ordered)


def read_lock(content: bytes) -> Lock:
    """Return a stored lock; refuses whatever is not exactly its own canonical form."""
    try:
        document = json.loads(content)
        found = make_lock(
            _text(document["python"]),
            [_text(item) for item in document["requirements"]],
            [_package(item) for item in document["packages"]],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _invalid(str(error) or type(error).__name__) from None
    if found.content != content:
        raise _invalid("it is not in canonical form or of another format")
    return found


def _package(item: Any) -> LockedPackage:
    name = _text(item["name"])
    if canonicalize_name(name, validate=True) != name:
        raise ValueError(f"{name!r} is not a normalised package name")
    wheels = {platform: _wheel(wheel) for platform, wheel in item["wheels"].items()}
    if not wheels or set(wheels) - set(PLATFORMS):
        raise ValueError(f"{name} has an unknown platform or none")
    version = _text(item["version"])
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is not a version")
    return LockedPackage(name, version, wheels)


def _wheel(item: Any) -> Wheel:
    wheel = Wheel(_text(item["file"]), _text(item["sha256"]))
    if not _FILE.fullmatch(wheel.file) or not _SHA256.fullmatch(wheel.sha256):
        raise ValueError(f"{wheel.file!r} is not a wheel with a SHA-256")
    return wheel


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _invalid(reason: str) -> BuildError:
    return BuildError(
        "lock_invalid", f"The stored lock cannot be used: {reason[:200]}.", hint="Lock the draft again."
    )
