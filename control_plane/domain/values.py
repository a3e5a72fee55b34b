"""Settings and secrets of a project: versioned values, bound by the names a version declares.

A secret's value is sealed before it gets here and never shown again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from control_plane.domain.canonical import digest_of
from control_plane.domain.functions import Declaration
from control_plane.errors import Invalid

__all__ = ["Bound", "MissingValues", "Stage", "Value", "ValueKind", "bind"]


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


@dataclass(frozen=True, slots=True)
class Bound:
    """The exact values that a release or a test run uses."""

    # name -> value id
    settings: Mapping[str, str]
    secrets: Mapping[str, str]
    # Changes with any of them: hash over plain setting values and secret version ids.
    epoch: str


def bind(declaration: Declaration, values: Iterable[Value]) -> Bound:
    """Bind each declared name to the newest value. Raises MissingValues with the exact list."""
    newest: dict[tuple[ValueKind, str], Value] = {}
    for value in sorted(values, key=lambda value: value.number):
        newest[value.kind, value.name] = value
    present = {key: value for key, value in newest.items() if not value.removed}
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
