"""Settings and secrets of projects and functions: versioned, bound by name; a secret is never read back."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from control_plane.domain.access import Permission
from control_plane.domain.identity import Actor, Project
from control_plane.domain.values import Value, ValueInUse, ValueKey, ValueKind, ValueUse
from control_plane.errors import Invalid, PreconditionFailed
from control_plane.ports import Sealer
from control_plane.services.changes import Change, Changes, View, absent

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

    def put(self, actor: Actor, project: str, key: ValueKey, content: str, *, if_match: str = "") -> Value:
        """Give a name its first value, or a new version of it; what comes back of a secret holds no content.

        A name that has a value is changed only with the ETag of that value.
        """
        _check(key.name, content)
        stored = content
        if key.kind is ValueKind.SECRET:
            stored = self._sealer.seal(actor.organization, content.encode())
        with self._changes.change(actor, f"{key.kind}.set") as change:
            place = change.project(project, _RIGHTS[key.kind])
            known = _in_place(change, place, key)
            latest = _expected(change, place, known, if_match)
            value = Value(
                id=change.new_id("setting"),
                organization=actor.organization,
                project=place.id,
                kind=known.kind,
                stage=known.stage,
                name=known.name,
                number=latest.number + 1 if latest else 1,
                content=stored,
                created_by=actor.user,
                created_ms=change.now_ms,
                function=known.function,
            )
            change.unit.values.add(value)
            data = {"project": place.id, "name": key.name, "stage": key.stage, "number": value.number}
            change.happened(f"{key.kind}.changed", value.id, data, function=known.function)
        return _shown(value)

    def list(self, actor: Actor, *, project: str, function: str = "") -> tuple[Value, ...]:
        """Return the newest version of every value, or of what one function may bind; no secret's content."""
        with self._changes.read(actor) as view:
            place = view.project(project, Permission.SETTING_READ)
            if function:
                known = _function_id(view, place, function)
                values = view.unit.values.usable(actor.organization, place.id, known)
            else:
                values = view.unit.values.newest(actor.organization, place.id)
        return tuple(_shown(value) for value in values if not value.removed)

    def get(self, actor: Actor, project: str, key: ValueKey) -> Value:
        """Return the newest version of one value; a secret's without content."""
        with self._changes.read(actor) as view:
            place = view.project(project, Permission.SETTING_READ)
            return _shown(_present(view, place, _in_place(view, place, key)))

    def versions(self, actor: Actor, project: str, key: ValueKey) -> tuple[Value, ...]:
        """Return every version of a value, newest first; a secret's without content."""
        with self._changes.read(actor) as view:
            place = view.project(project, Permission.SETTING_READ)
            known = _in_place(view, place, key)
            _present(view, place, known)
            history = view.unit.values.history(actor.organization, place.id, known)
        return tuple(_shown(value) for value in history)

    def uses(self, actor: Actor, project: str, key: ValueKey) -> tuple[ValueUse, ...]:
        """Return the live and pending releases that hold any version of the value."""
        with self._changes.read(actor) as view:
            place = view.project(project, Permission.SETTING_READ)
            return _uses(view, place, _in_place(view, place, key))

    def remove(self, actor: Actor, project: str, key: ValueKey, *, if_match: str = "") -> Value:
        """Let no further release bind the name. Raises ValueInUse while a release holds a version of it."""
        with self._changes.change(actor, f"{key.kind}.remove") as change:
            place = change.project(project, _RIGHTS[key.kind])
            known = _in_place(change, place, key)
            latest = _present(change, place, known)
            latest.expect(if_match)
            _refuse_in_use(known, _uses(change, place, known))
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
            data = {"project": place.id, "name": key.name, "stage": key.stage}
            change.happened(f"{key.kind}.removed", gone.id, data, function=known.function)
        return gone


def _shown(value: Value) -> Value:
    return replace(value, content="") if value.kind is ValueKind.SECRET else value


def _check(name: str, content: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid("A name is like API_URL: upper-case letters, digits, _; at most 64.", field="name")
    if len(content.encode()) > _LONGEST or "\0" in content:
        raise Invalid(f"A value has at most {_LONGEST:,} bytes and no zero byte.", field="content")


def _in_place(view: View, place: Project, key: ValueKey) -> ValueKey:
    """Return the key with its function's id."""
    return replace(key, function=_function_id(view, place, key.function)) if key.function else key


def _function_id(view: View, place: Project, function: str) -> str:
    known, _ = view.function(function, Permission.FUNCTION_READ)
    if known.project != place.id:
        raise absent("function", function)
    return known.id


def _present(view: View, place: Project, key: ValueKey) -> Value:
    latest = view.unit.values.latest(view.organization, place.id, key)
    if latest is None or latest.removed:
        raise absent(key.kind, key.name)
    return latest


def _expected(change: Change, place: Project, key: ValueKey, if_match: str) -> Value | None:
    """Return the version before the new one, when the change was made against it."""
    latest = change.unit.values.latest(change.organization, place.id, key)
    if latest is not None and not latest.removed:
        latest.expect(if_match)
    elif if_match:
        raise PreconditionFailed(f"{key.name} has no value by now.", hint="Leave If-Match out to make it.")
    return latest


def _uses(view: View, place: Project, key: ValueKey) -> tuple[ValueUse, ...]:
    history = view.unit.values.history(view.organization, place.id, key)
    numbers = {value.id: value.number for value in history if not value.removed}
    newest = max(numbers.values(), default=0)
    releases = view.unit.releases.active_in(view.organization, place.id)
    functions = view.unit.functions.present({release.function for release in releases})
    return tuple(
        ValueUse(
            function=release.function,
            function_name=functions[release.function].name,
            release=release.number,
            state=release.state,
            version=part.number,
            number=numbers[held],
            outdated=numbers[held] < newest,
        )
        for release in releases
        if release.function in functions
        for part in release.parts
        for held in (*part.bound.settings.values(), *part.bound.secrets.values())
        if held in numbers
    )


def _refuse_in_use(key: ValueKey, uses: tuple[ValueUse, ...]) -> None:
    if uses:
        holders = ", ".join(sorted({f"{use.function_name} (release {use.release})" for use in uses}))
        raise ValueInUse(
            f"The {key.kind} {key.name} is held by: {holders}.",
            hint="Give it a new value instead, or release these functions without it first.",
        )
