"""Settings and secrets of a project: versioned values, bound by the names a version declares.

A secret's value is sealed before it gets here and never shown again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from control_plane.domain.canonical import digest_of
from control_plane.domain.functions import Declaration
from control_plane.errors import Conflict, Invalid, PreconditionFailed, PreconditionRequired

__all__ = [
    "Bound",
    "MissingValues",
    "Stage",
    "Value",
    "ValueInUse",
    "ValueKey",
    "ValueKind",
    "ValueUse",
    "bind",
]


class ValueKind(StrEnum):
    """Readable or write-only."""

    SETTING = "setting"
    SECRET = "secret"  # noqa: S105


class Stage(StrEnum):
    """Where a value may be used: test runs never see a live one."""

    LIVE = "live"
    TEST = "test"


class MissingValues(Invalid):
    """A version declares names that the project has no values for."""

    code = "values_missing"


class ValueInUse(Conflict):
    """A release that receives calls holds the value."""

    code = "value_in_use"


@dataclass(frozen=True, slots=True)
class ValueKey:
    """What names a value inside a project."""

    kind: ValueKind
    name: str
    stage: Stage = Stage.LIVE
    # Id or name of the one function that reads it; empty: every function of the project.
    function: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """One version of a named value. `content` is plain for a setting, sealed for a secret."""

    id: str
    organization: str
    project: str
    kind: ValueKind
    stage: Stage
    name: str
    # Grows by one with each change of the same name.
    number: int
    content: str
    created_by: str
    created_ms: int
    # The last version of a removed name; it binds no more.
    removed: bool = False
    # Id of the one function that reads it; empty: every function of the project.
    function: str = ""

    @property
    def key(self) -> ValueKey:
        """What it is a version of."""
        return ValueKey(self.kind, self.name, self.stage, self.function)

    @property
    def etag(self) -> str:
        """The strong validator that If-Match names."""
        return f"v{self.number}"

    def expect(self, if_match: str) -> None:
        """Refuse a change that was made against another version of it."""
        if not if_match:
            raise PreconditionRequired(
                f"{self.name} has a value; changing it needs If-Match.", hint=f'Send If-Match: "{self.etag}".'
            )
        if if_match != self.etag:
            raise PreconditionFailed(
                f"{self.name} has changed: it is {self.etag}, not {if_match[:40]}.", hint="Look at it again."
            )


@dataclass(frozen=True, slots=True)
class ValueUse:
    """A part of a live or pending release that holds one version of a value."""

    function: str
    function_name: str
    # The release's number, and whether it is live or pending.
    release: int
    state: str
    # The function version's number.
    version: int
    # The value's number there; an older one than the newest is outdated until the next release.
    number: int
    outdated: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """The exact values that a release or a test run uses."""

    # name -> value id
    settings: Mapping[str, str]
    secrets: Mapping[str, str]
    # Changes with any of them: hash over plain setting values and secret version ids.
    epoch: str


def bind(declaration: Declaration, values: Iterable[Value]) -> Bound:
    """Bind each declared name to the newest value, a function's own before the project's.

    `values` are of one stage, of the project and of this function alone.
    Raises MissingValues with the exact list.
    """
    newest = {value.key: value for value in sorted(values, key=lambda value: value.number)}
    # The project's values have an empty function, so they come first and give way.
    kept = sorted(newest.values(), key=lambda value: value.function)
    present = {(value.kind, value.name): value for value in kept if not value.removed}
    wanted = [(ValueKind.SETTING, name) for name in declaration.settings]
    wanted += [(ValueKind.SECRET, name) for name in declaration.secrets]
    missing = [(kind, name) for kind, name in wanted if (kind, name) not in present]
    if missing:
        listed = ", ".join(f"{kind} {name}" for kind, name in missing)
        raise MissingValues(
            f"The project has no value for: {listed}.",
            hint="Set each of them, then repeat.",
            errors=tuple((f"/{kind}s/{name}", "has no value") for kind, name in missing),
        )
    settings = {name: present[ValueKind.SETTING, name] for name in declaration.settings}
    secrets = {name: present[ValueKind.SECRET, name] for name in declaration.secrets}
    epoch = digest_of(
        {
            "settings": {name: value.content for name, value in settings.items()},
            "secrets": {name: value.id for name, value in secrets.items()},
        }
    )
    return Bound(
        settings={name: value.id for name, value in settings.items()},
        secrets={name: value.id for name, value in secrets.items()},
        epoch=epoch,
    )
