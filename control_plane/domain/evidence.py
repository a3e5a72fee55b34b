"""What speaks for or against a change, from two versions: risks with reasons, limits, cost, licences.

Nothing is read here; the service gives both versions' facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.desired import Limits
from control_plane.domain.functions import Declaration
from control_plane.domain.review_policies import Risk
from control_plane.domain.versions import Change, Version

__all__ = [
    "Component",
    "CostEstimate",
    "Facts",
    "RiskFound",
    "changed_paths",
    "components_of",
    "estimate_cost",
    "is_code",
    "names_changed",
    "risks_of",
]

_CODE: Final = (".py", ".pyi", ".js", ".mjs", ".cjs", ".ts", ".java", ".sh", ".sql", ".html", ".css")
_LIMITS: Final = ("memory_mb", "timeout_ms", "concurrency", "instances")


@dataclass(frozen=True, slots=True)
class Facts:
    """What of a version risks are judged by."""

    declaration: Declaration
    # Where it may connect to; from the manifest.
    egress: tuple[str, ...]
    # name -> version of the locked packages
    packages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RiskFound:
    """One risk that a change carries, and the sentence that says why."""

    risk: Risk
    reason: str


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a thousand calls cost in memory and time, as far as can be told before they happen."""

    memory_mb: int
    duration_ms: int
    # "test_runs": their median; "timeout": the most that a call may take
    basis: str

    @property
    def gb_seconds(self) -> float:
        """GB-seconds of 1,000 calls."""
        return round(self.memory_mb / 1_024 * self.duration_ms, 3)


@dataclass(frozen=True, slots=True)
class Component:
    """One entry of a bill of materials."""

    version: str
    licences: tuple[str, ...]


def changed_paths(before: Version | None, after: Version) -> tuple[str, ...]:
    """Return the files whose bytes differ, are new or gone."""
    old = {file.path: file.digest for file in before.files} if before else {}
    new = {file.path: file.digest for file in after.files}
    return tuple(path for path in sorted(old.keys() | new.keys()) if old.get(path) != new.get(path))


def is_code(path: str) -> bool:
    """Say whether a file is code, by its name."""
    return path.endswith(_CODE)


def risks_of(before: Facts | None, after: Facts) -> tuple[RiskFound, ...]:
    """Return every risk of the change. What was never reviewed is compared with nothing at all."""
    old = before or Facts(Declaration(), (), {})
    found = [*_new_names(old, after), *_raised(old.declaration, after.declaration)]
    if before is not None:
        found += _rewired(old.declaration, after.declaration)
    return tuple(found)


def _new_names(old: Facts, new: Facts) -> Iterator[RiskFound]:
    named = (
        (Risk.NEW_EGRESS, old.egress, new.egress, "may connect to"),
        (Risk.NEW_SECRET, old.declaration.secrets, new.declaration.secrets, "reads the secret"),
        (Risk.NEW_SETTING, old.declaration.settings, new.declaration.settings, "reads the setting"),
    )
    for risk, known, wanted, verb in named:
        for name in sorted(set(wanted) - set(known)):
            yield RiskFound(risk, f"It {verb} {name}, which the version before does not.")
    for name, version in sorted(new.packages.items()):
        if name not in old.packages:
            yield RiskFound(Risk.DEPENDENCY_ADDED, f"{name} {version} is new.")
        elif old.packages[name] != version:
            reason = f"{name} goes from {old.packages[name]} to {version}."
            yield RiskFound(Risk.DEPENDENCY_CHANGED, reason)


def _raised(old: Declaration, new: Declaration) -> Iterator[RiskFound]:
    for name in _LIMITS:
        before, after = getattr(old.limits, name), getattr(new.limits, name)
        if after > before:
            yield RiskFound(Risk.LIMITS_UP, f"{name} rises from {before:,} to {after:,}.")
    if new.body_limit > old.body_limit:
        yield RiskFound(Risk.LIMITS_UP, f"body_limit rises from {old.body_limit:,} to {new.body_limit:,}.")
    exposed = (
        ("public", "Anybody may call it, without a key."),
        ("own_authentication", "It checks callers itself and sees their credentials."),
        ("unsandboxed_page", "Its pages run without the browser's sandbox."),
    )
    for name, reason in exposed:
        if getattr(new, name) and not getattr(old, name):
            yield RiskFound(Risk.EXPOSURE_UP, reason)
    for origin in sorted(set(new.cors_origins) - set(old.cors_origins)):
        yield RiskFound(Risk.EXPOSURE_UP, f"Pages of {origin} may call it.")


def _rewired(old: Declaration, new: Declaration) -> Iterator[RiskFound]:
    if (old.kind, old.handler) != (new.kind, new.handler):
        reason = f"The handler goes from {old.kind} {old.handler} to {new.kind} {new.handler}."
        yield RiskFound(Risk.HANDLER_CHANGED, reason)
    if old.runtime != new.runtime:
        yield RiskFound(Risk.RUNTIME_CHANGED, f"The runtime goes from {old.runtime} to {new.runtime}.")
    if (old.input_schema, old.output_schema) != (new.input_schema, new.output_schema):
        yield RiskFound(Risk.CONTRACT_CHANGED, "What it accepts or answers is declared differently.")


def names_changed(before: tuple[str, ...], after: tuple[str, ...]) -> tuple[Change, ...]:
    """Return names that came (before is None) and went (after is None)."""
    came = (Change(name, None, name) for name in sorted(set(after) - set(before)))
    went = (Change(name, name, None) for name in sorted(set(before) - set(after)))
    return (*came, *went)


def estimate_cost(limits: Limits, durations_us: tuple[int, ...]) -> CostEstimate:
    """Return the estimate for a version from its test runs, or from the time-out without any."""
    if not durations_us:
        return CostEstimate(limits.memory_mb, limits.timeout_ms, "timeout")
    median = sorted(durations_us)[len(durations_us) // 2]
    return CostEstimate(limits.memory_mb, max(1, -(-median // 1_000)), "test_runs")


def components_of(document: Mapping[str, Any]) -> dict[str, Component]:
    """Return name -> component of a CycloneDX document."""
    return {
        str(item.get("name", "")): Component(str(item.get("version", "")), tuple(_licences(item)))
        for item in document.get("components", [])
    }


def _licences(item: Mapping[str, Any]) -> Iterator[str]:
    for entry in item.get("licenses", []):
        licence = entry.get("license", {})
        yield str(entry.get("expression") or licence.get("id") or licence.get("name") or "unknown")
