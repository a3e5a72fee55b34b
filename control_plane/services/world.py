"""Reads everything that should run, over all tenants, in one consistent snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from control_plane.domain.credentials import ApiKey
from control_plane.domain.desired import Takedown
from control_plane.domain.identity import Actor
from control_plane.domain.releases import Release, ReleaseState
from control_plane.services.changes import Changes, View
from control_plane.services.previewing import Previewed
from control_plane.services.reconciling import Released

__all__ = ["World", "read_world", "released_of"]


@dataclass(frozen=True, slots=True)
class World:
    """What is live, what is to become so, and who may call."""

    live: tuple[Released, ...]
    pending: tuple[Released, ...]
    keys: tuple[ApiKey, ...]
    # Keys whose open sessions are to be ended: revoked, rotated at once, or narrowed.
    uncut: tuple[ApiKey, ...]
    previews: tuple[Previewed, ...] = ()
    # What may not run any more, of every function.
    takedowns: tuple[Takedown, ...] = ()


def read_world(changes: Changes) -> World:
    """Return the wanted state of the whole machine. Only the reconciler may see all tenants."""
    with changes.read(Actor.system("")) as view:
        released = tuple(released_of(view, view.unit.releases.active()))
        keys = view.unit.credentials.unrevoked_keys(view.now_ms)
        uncut = view.unit.credentials.uncut_keys()
        previews = tuple(_previewed(view))
        down = view.unit.versions.taken_down()
    return World(
        live=tuple(one for one in released if one.release.state is ReleaseState.LIVE),
        pending=tuple(one for one in released if one.release.state is ReleaseState.PENDING),
        keys=keys,
        uncut=uncut,
        previews=previews,
        takedowns=tuple(Takedown(function, down[function]) for function in sorted(down)),
    )


def released_of(view: View, releases: Iterable[Release]) -> Iterable[Released]:
    """Yield each release with everything that its targets are made of; none of functions taken down."""
    known = tuple(releases)
    functions = view.unit.functions.present({release.function for release in known})
    names = view.unit.identity.organization_names()
    versions = view.unit.versions.runnable({part.version for release in known for part in release.parts})
    wanted = {
        value
        for release in known
        for part in release.parts
        for value in (*part.bound.settings.values(), *part.bound.secrets.values())
    }
    values = view.unit.values.by_ids(wanted)
    for release in known:
        function = functions.get(release.function)
        if function is not None:
            ids = {part.version for part in release.parts}
            yield Released(
                release=release,
                function=function,
                organization_name=names[release.organization],
                versions={identifier: versions[identifier] for identifier in ids},
                values=values,
            )


def _previewed(view: View) -> Iterable[Previewed]:
    known = view.unit.previews.alive(view.now_ms)
    if not known:
        return
    functions = view.unit.functions.present({preview.function for preview in known})
    names = view.unit.identity.organization_names()
    wanted = {value for preview in known for value in (*preview.settings.values(), *preview.secrets.values())}
    values = view.unit.values.by_ids(wanted)
    for preview in known:
        function = functions.get(preview.function)
        if function is not None:
            yield Previewed(preview, function, names[preview.organization], values)
