"""Settings and secrets of a project: versioned, bound by name; a secret is never read back."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from control_plane.domain.access import Permission
from control_plane.domain.identity import Actor
from control_plane.domain.values import Stage, Value, ValueKind
from control_plane.errors import Invalid
from control_plane.ports import Sealer
from control_plane.services.changes import Changes, absent

__all__ = ["Settings"]

_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_LONGEST: Final = 32_768
_RIGHTS: Final = {
    ValueKind.SETTING: Permission.SETTING_WRITE,
    ValueKind.SECRET: Permission.SECRET_WRITE,
}


class Settings:
    """Use cases about named values. New values reach a function with its next release."""

    def __init__(self, changes: Changes, sealer: Sealer) -> None:
        self._changes = changes
        self._sealer = sealer

    def set_setting(
        self, actor: Actor, *, project: str, name: str, content: str, stage: Stage = Stage.LIVE
    ) -> Value:
        """Give a setting a new value."""
        return self._set(actor, project, (ValueKind.SETTING, stage, name), content)

    def set_secret(
        self, actor: Actor, *, project: str, name: str, content: str, stage: Stage = Stage.LIVE
    ) -> Value:
        """Give a secret a new value; what comes back holds no content."""
        return self._set(actor, project, (ValueKind.SECRET, stage, name), content)

    def list(self, actor: Actor, *, project: str) -> tuple[Value, ...]:
        """Return the newest version of every value; secrets without content."""
        with self._changes.read(actor) as view:
            place = view.project(project, Permission.SETTING_READ)
            values = view.unit.values.newest(actor.organization, place.id)
        return tuple(_shown(value) for value in values if not value.removed)

    def remove(
        self, actor: Actor, *, project: str, name: str, kind: ValueKind, stage: Stage = Stage.LIVE
    ) -> Value:
        """Let no further release bind the name; releases that hold it keep it."""
        with self._changes.change(actor, f"{kind}.remove") as change:
            place = change.project(project, _RIGHTS[kind])
            latest = change.unit.values.latest(actor.organization, place.id, kind, stage, name)
            if latest is None or latest.removed:
                raise absent(kind, name)
            gone = replace(
                latest,
                id=change.new_id("setting"),
                number=latest.number + 1,
                content="",
                removed=True,
                created_by=actor.user,
                created_ms=change.now_ms,
            )
            change.unit.values.add(gone)
            data = {"project": place.id, "name": name, "stage": stage}
            change.happened(f"{kind}.removed", gone.id, data)
        return gone

    def _set(self, actor: Actor, project: str, what: tuple[ValueKind, Stage, str], content: str) -> Value:
        kind, stage, name = what
        _check(name, content)
        stored = content
        if kind is ValueKind.SECRET:
            stored = self._sealer.seal(actor.organization, content.encode())
        with self._changes.change(actor, f"{kind}.set") as change:
            place = change.project(project, _RIGHTS[kind])
            latest = change.unit.values.latest(actor.organization, place.id, kind, stage, name)
            value = Value(
                id=change.new_id("setting"),
                organization=actor.organization,
                project=place.id,
                kind=kind,
                stage=stage,
                name=name,
                number=latest.number + 1 if latest else 1,
                content=stored,
                created_by=actor.user,
                created_ms=change.now_ms,
            )
            change.unit.values.add(value)
            data = {"project": place.id, "name": name, "stage": stage, "number": value.number}
            change.happened(f"{kind}.changed", value.id, data)
        return _shown(value)


def _shown(value: Value) -> Value:
    return replace(value, content="") if value.kind is ValueKind.SECRET else value


def _check(name: str, content: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid("A name is like API_URL: upper-case letters, digits, _; at most 64.", field="name")
    if len(content.encode()) > _LONGEST or "\0" in content:
        raise Invalid(f"A value has at most {_LONGEST:,} bytes and no zero byte.", field="content")
