"""The worker process: looks at the database when poked and every second, and does what is due.

It gives events their places, drives runtime and gateway to what was released,
and signs audit checkpoints. What each of these does is the services' business.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from control_plane.bootstrap.worker import Worker as Parts
from control_plane.bootstrap.worker import build_worker
from control_plane.domain.release_guards import Action
from control_plane.process import inherited_keys, log_to_stderr, say_ready, stop_event
from control_plane.services.guarding import GuardAction
from control_plane.services.reconciler import Step

__all__ = ["Turns", "run"]

_Done = TypeVar("_Done")
_IDLE_S: Final = 1.0
# While something waits for the host or the gateway.
_WAITING_S: Final = 0.1
# Events get their places this often at most: each time is a change, and takes the turn of others to write.
_PLACES_S: Final = 0.1
_CHECKPOINT_S: Final = 60.0
# A failing release is seen this soon after its calls were counted.
_GUARDS_S: Final = 2.0


@dataclass(slots=True)
class Turns:
    """Decides what each turn does; the clock is monotonic, in seconds."""

    parts: Parts
    clock: Callable[[], float]
    checked_at: float = float("-inf")
    guarded_at: float = float("-inf")
    placed_at: float = float("-inf")
    trouble: str = ""

    def turn(self) -> float:
        """Do what is due; return how long nothing will be due unless a poke comes, in seconds."""
        # Somebody waits for what should run; events only need their places soon.
        step = self._part("what should run", self.parts.reconciler.step)
        if step is not None:
            self._note(step)
        now, placed = self.clock(), None
        if now - self.placed_at >= _PLACES_S:
            self.placed_at = now
            placed = self._part("the order of events", self._sequence)
        # Each turn: a look at what is due is nothing, and pods refuse calls without it.
        self._part("the tokens for pods", self.parts.renew_hops)
        if now - self.guarded_at >= _GUARDS_S:
            self.guarded_at = now
            self._note_guards(self._part("the guards", self.parts.look_after_guards) or ())
        if placed or now - self.checked_at >= _CHECKPOINT_S:
            # Whoever asks for one says so by an event; what could not be reached then is tried again later.
            self._part("the exports", self.parts.sign_exports)
        if now - self.checked_at >= _CHECKPOINT_S:
            self.checked_at = now
            self._part("the checkpoints", self.parts.checkpoint)
            self._part("the previews", self.parts.sweep_previews)
            self._part("the files", self._delete_files)
        pause = _IDLE_S if step is None or step.settled else _WAITING_S
        # An event that came too soon after the last look still waits for its place.
        return pause if self.placed_at == now else min(pause, _PLACES_S)

    def _part(self, name: str, work: Callable[[], _Done]) -> _Done | None:
        """Do one part; one that fails comes again in its next turn, and the others are done all the same."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - whatever a part met, the worker goes on
            log_to_stderr("worker", "error", "a part of a turn failed", part=name, error=repr(error))
            return None

    def _sequence(self) -> int:
        placed = 0
        while some := self.parts.sequence_events():
            placed += some
        if placed and self.parts.relay is not None:
            self.parts.relay.wake()
        return placed

    def _delete_files(self) -> None:
        while self.parts.delete_files():
            pass

    def _note_guards(self, actions: tuple[GuardAction, ...]) -> None:
        for action in actions:
            level = "info" if action.action is Action.PROMOTE else "warning"
            said = f"a guard acted: {action.action}"
            if action.action is Action.WATCH:
                said = "a guard could not look"
            log_to_stderr("worker", level, said, release=action.release, why=action.message)

    def _note(self, step: Step) -> None:
        for release in step.live:
            log_to_stderr("worker", "info", "a release is live", release=release)
        for release in step.failed:
            log_to_stderr("worker", "warning", "a release failed", release=release)
        for timed in step.timed:
            self.parts.trace_release(timed)
        if step.trouble != self.trouble:
            self.trouble = step.trouble
            level = "error" if step.trouble else "info"
            log_to_stderr("worker", level, step.trouble or "what should run, runs again")


def run(document: Mapping[str, Any]) -> None:
    """Work until SIGTERM. A failing turn is logged and tried again: the next one may succeed."""
    stop = stop_event()
    pokes = _open_pokes(Path(document["run"]) / "worker.sock")
    with build_worker(document, inherited_keys()) as parts:
        turns = Turns(parts, time.monotonic)
        parts.cleaning.start(stop)
        if parts.relay is not None:
            parts.relay.start(stop)
        ready = False
        while not stop.is_set():
            try:
                pause = turns.turn()
            except Exception as error:  # noqa: BLE001 - whatever a turn met, the worker goes on
                log_to_stderr("worker", "error", "a turn failed", error=repr(error))
                pause = _IDLE_S
            if not ready:
                ready = True
                say_ready()
            _wait(pokes, pause)
    pokes.close()


def _open_pokes(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    pokes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    pokes.bind(str(path))
    path.chmod(0o660)
    pokes.setblocking(False)
    return pokes


def _wait(pokes: socket.socket, seconds: float) -> None:
    """Wait for a poke, and take all that are there: they say the same."""
    with contextlib.suppress(InterruptedError):
        select.select([pokes], [], [], seconds)
    with contextlib.suppress(BlockingIOError):
        while pokes.recv(64):
            pass
