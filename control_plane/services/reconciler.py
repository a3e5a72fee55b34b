"""Drives runtime and gateway to what was released, one small step after another.

Level-triggered: each step looks at the database and at nothing it did before
a restart, so it may be killed at any line and simply runs again. The old
release serves until the gateway sends calls to the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Final

from control_plane.domain.desired import GatewayState, HostState
from control_plane.domain.identity import Actor
from control_plane.domain.releases import Release, ReleaseState
from control_plane.domain.reviews import ReviewAction, ReviewState, move
from control_plane.domain.traces import TimedRelease
from control_plane.errors import IngotError
from control_plane.ports import Gateway, Prepared, Runtime
from control_plane.services.changes import Change, Changes
from control_plane.services.previewing import Previewed, gateway_with_previews, host_with_previews
from control_plane.services.reconciling import Released, make_gateway_state, make_host_state, target_ids
from control_plane.services.release_timing import ReleaseTimings
from control_plane.services.world import World, read_world

__all__ = ["Reconciler", "Step"]

_PREPARE_MS: Final = 30_000


@dataclass(frozen=True, slots=True)
class Step:
    """What one call of `Reconciler.step` did."""

    # Ids of releases.
    live: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    # Still being prepared, or waiting for the runtime or the gateway.
    waiting: tuple[str, ...] = ()
    # Why nothing could be applied; empty when all went well.
    trouble: str = ""
    # The live and the failed ones with how long each part of their way took.
    timed: tuple[TimedRelease, ...] = ()

    @property
    def settled(self) -> bool:
        """Say whether nothing is left to do until something changes."""
        return not self.waiting and not self.trouble


@dataclass(slots=True)
class _Applied:
    """What this process last made so; a new process applies everything once."""

    host: HostState | None = None
    gateway: GatewayState | None = None
    lingering: tuple[Released, ...] = ()
    serving: tuple[Released, ...] = ()
    previews: tuple[Previewed, ...] = ()
    # The number of the last change that is wholly done.
    settled: int = -1


class Reconciler:
    """The only writer of the host's and the gateway's wanted state."""

    def __init__(
        self,
        changes: Changes,
        runtime: Runtime,
        gateway: Gateway,
        executor: Executor,
        *,
        isolation: str,
        poke: Callable[[], None] = lambda: None,
    ) -> None:
        self._changes = changes
        self._runtime = runtime
        self._gateway = gateway
        self._executor = executor
        self._isolation = isolation
        self._poke = poke
        self._preparing: dict[str, Future[Prepared]] = {}
        self._applied = _Applied()
        self._timings = ReleaseTimings(lambda: changes.now_ms)

    def step(self) -> Step:
        """Look at the database, do what can be done now, never wait for a function's code.

        Host first, then the new targets' code, then the gateway, then the
        conditions; at last the host forgets what no call can reach.
        """
        wanted = self._changes.wanted()
        if self._applied.settled == wanted and not self._applied.lingering:
            return Step()
        step = self._step()
        self._applied.settled = wanted if step.settled else -1
        return step

    def _step(self) -> Step:
        world = read_world(self._changes)
        try:
            kept = {one.preview.id: one for one in (*self._applied.previews, *world.previews)}
            wanted = (*world.live, *world.pending, *self._applied.lingering)
            with self._timings.phase("hand to host", self._unknown(world.pending)):
                self._apply_host(wanted, kept.values(), world)
            ready, failed, waiting = self._prepare(world.pending)
            serving = _after(world.live, ready)
            with self._timings.phase("switch", [one.release.id for one in ready]):
                self._apply_gateway(serving, world)
        except (IngotError, OSError) as error:
            return self._in_trouble(world, str(error))
        timed = [self._timings.take(one.release, live=True) for one in ready if self._went_live(one)]
        live = tuple(one.release.id for one in timed)
        for one, prepared in failed:
            self._failed(one.release, prepared)
            timed.append(self._timings.take(one.release, live=False))
        try:
            self._cut_keys(world)
            self._apply_host((*serving, *waiting, *self._applied.lingering), world.previews, world)
        except (IngotError, OSError) as error:
            return replace(self._in_trouble(world, str(error)), live=live, timed=tuple(timed))
        return Step(
            live=live,
            failed=tuple(one.release.id for one, _ in failed),
            waiting=tuple(one.release.id for one in waiting),
            timed=tuple(timed),
        )

    def _apply_host(self, wanted: Iterable[Released], previews: Iterable[Previewed], world: World) -> None:
        known = self._applied.host
        state = make_host_state(
            wanted,
            epoch=known.epoch if known else 0,
            isolation=self._isolation,
            takedowns=world.takedowns,
        )
        state = host_with_previews(state, previews)
        if state == known:
            return
        state = replace(state, epoch=self._next_epoch())
        self._runtime.apply(state)
        self._applied.host = state

    def _apply_gateway(self, serving: tuple[Released, ...], world: World) -> None:
        """Let calls in; targets whose slots still hold connections linger in the host."""
        known = self._applied.gateway
        state = make_gateway_state(
            serving,
            world.keys,
            epoch=known.epoch if known else 0,
            isolation=self._isolation,
            socket_path=self._runtime.socket_path,
        )
        state = gateway_with_previews(state, world.previews, self._runtime.socket_path)
        self._applied.previews = world.previews if state == known else self._applied.previews
        if state == known and not self._applied.lingering:
            return
        state = state if state == known else replace(state, epoch=self._next_epoch())
        change = self._gateway.apply(state)
        self._applied.gateway = state
        lingering = set(change.lingering)
        candidates = {one.release.id: one for one in (*self._applied.serving, *self._applied.lingering)}
        self._applied.lingering = tuple(
            one for one in candidates.values() if lingering & set(self._targets(one))
        )
        self._applied.serving = serving
        self._applied.previews = world.previews

    def _prepare(
        self, pending: tuple[Released, ...]
    ) -> tuple[tuple[Released, ...], list[tuple[Released, Prepared]], tuple[Released, ...]]:
        """Begin preparing what is new; return what is ready, what failed and what is not done."""
        current = {one.release.id for one in pending}
        self._timings.keep(current)
        for gone in self._preparing.keys() - current:
            del self._preparing[gone]
        ready, failed, waiting = [], [], []
        for one in pending:
            future = self._preparing.get(one.release.id)
            if future is None:
                future = self._executor.submit(self._prepare_all, one.release.id, self._targets(one))
                self._preparing[one.release.id] = future
                future.add_done_callback(lambda _: self._poke())
            if not future.done():
                waiting.append(one)
            elif future.exception() is not None:
                # The host did not answer at all: that says nothing about the code, so try again.
                del self._preparing[one.release.id]
                raise OSError(f"The runtime could not prepare {one.function.name}: {future.exception()}")
            elif future.result().ok:
                ready.append(one)
            else:
                failed.append((one, future.result()))
        return tuple(ready), failed, tuple(waiting)

    def _unknown(self, pending: tuple[Released, ...]) -> list[str]:
        """Return the releases whose code nobody prepares yet."""
        return [one.release.id for one in pending if one.release.id not in self._preparing]

    def _prepare_all(self, release: str, targets: list[str]) -> Prepared:
        for target in targets:
            with self._timings.phase("activation", (release,), target):
                prepared = self._runtime.prepare(target, _PREPARE_MS)
            if not prepared.ok:
                return prepared
        return Prepared(ok=True)

    def _went_live(self, one: Released) -> bool:
        """Record that calls reach a release; False when another took its place meanwhile."""
        with self._changes.change(Actor.system(one.release.organization), "release.go_live") as change:
            release = _still_pending(change, one.release)
            if release is None:
                return False
            for older in change.unit.releases.active_of(release.organization, release.function):
                if older.state is ReleaseState.LIVE:
                    change.unit.releases.update(older.superseded(release.number, change.now_ms))
                    data = {"function": release.function, "number": older.number}
                    change.happened("release.superseded", older.id, data)
            change.unit.releases.update(release.went_live(change.now_ms))
            # Followers of further gateways look for it; the reconciler itself has nothing more to do.
            change.unit.counters.next("live")
            _publish_versions(change, one)
            data = {"function": release.function, "number": release.number, "digest": release.digest}
            change.happened("release.live", release.id, data)
        self._preparing.pop(one.release.id, None)
        return True

    def _failed(self, pending: Release, prepared: Prepared) -> None:
        with self._changes.change(Actor.system(pending.organization), "release.fail") as change:
            release = _still_pending(change, pending)
            if release is not None:
                lines = "\n".join((prepared.message, *prepared.log))[:4_000]
                change.unit.releases.update(release.failed(prepared.code, lines, change.now_ms))
                data = {"function": release.function, "number": release.number, "reason": prepared.code}
                change.happened("release.failed", release.id, data)
        self._preparing.pop(pending.id, None)

    def _in_trouble(self, world: World, trouble: str) -> Step:
        """Say on every pending release what it waits for, once for each different reason."""
        for one in world.pending:
            conditions = {known.type: known for known in one.release.conditions}
            known = conditions.get("Progressing")
            if known is not None and known.message == trouble[:500]:
                continue
            with self._changes.change(Actor.system(one.release.organization), "release.progress") as change:
                release = _still_pending(change, one.release)
                if release is not None:
                    waiting = release.progressing("unavailable", trouble[:500], change.now_ms)
                    change.unit.releases.update(waiting)
                    data = {"function": release.function, "number": release.number, "reason": "unavailable"}
                    change.emit("release.progressed", release.id, data)
        return Step(waiting=tuple(one.release.id for one in world.pending), trouble=trouble)

    def _cut_keys(self, world: World) -> None:
        """End the open sessions of keys that lost a right, after the maps know it."""
        for key in world.uncut:
            self._gateway.cut(key.id)
            with self._changes.change(Actor.system(key.organization), "api_key.cut") as change:
                known = change.unit.credentials.key(key.organization, key.id)
                # What it lost meanwhile is not in the maps yet, so that is cut in the next step.
                if known is not None and known.revision == key.revision:
                    done = replace(known, cut_ms=change.now_ms, to_cut=False)
                    change.unit.credentials.update_key(done)

    def _targets(self, one: Released) -> list[str]:
        return sorted(target_ids(one, self._isolation).values())

    def _next_epoch(self) -> int:
        return self._changes.count("applied")


def _after(live: tuple[Released, ...], ready: tuple[Released, ...]) -> tuple[Released, ...]:
    """Return what serves when the ready releases replace their functions' live ones."""
    replaced = {one.function.id for one in ready}
    return (*(one for one in live if one.function.id not in replaced), *ready)


def _still_pending(change: Change, pending: Release) -> Release | None:
    release = change.unit.releases.get(pending.organization, pending.id)
    return release if release is not None and release.state is ReleaseState.PENDING else None


def _publish_versions(change: Change, one: Released) -> None:
    """Mark versions that receive calls for the first time, and their approved reviews."""
    for runnable in one.versions.values():
        version = change.unit.versions.get(runnable.organization, runnable.id)
        if version is not None and not version.published_ms:
            change.unit.versions.update(replace(version, published_ms=change.now_ms))
        for review in change.unit.reviews.of_version(runnable.organization, runnable.id):
            if review.state is ReviewState.APPROVED:
                change.unit.reviews.update(move(review, ReviewAction.PUBLISH))
