"""What each turn of the worker does, with a clock and parts of the test's own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import cast

import pytest

from control_plane.bootstrap.worker import Worker
from control_plane.domain.release_guards import Action
from control_plane.domain.traces import TimedRelease
from control_plane.events.cleaning import Cleaning
from control_plane.events.worker import Turns
from control_plane.services.guarding import GuardAction
from control_plane.services.reconciler import Reconciler, Step


@dataclass
class Parts:
    """Stands for the worker's parts: what they say is set, what was asked of them is counted."""

    steps: list[Step] = field(default_factory=list)
    unsequenced: list[int] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    acted: tuple[GuardAction, ...] = ()
    fault: Exception | None = None
    traced: list[TimedRelease] = field(default_factory=list)

    def step(self) -> Step:
        self.done.append("step")
        if self.fault is not None:
            raise self.fault
        return self.steps.pop(0) if self.steps else Step()

    def sequence(self) -> int:
        self.done.append("sequence")
        return self.unsequenced.pop(0) if self.unsequenced else 0

    def delete_files(self) -> int:
        self.done.append("files")
        return 0

    def checkpoint(self) -> int:
        self.done.append("checkpoint")
        return 1

    def sweep(self) -> int:
        self.done.append("sweep")
        return 0

    def sign(self) -> int:
        self.done.append("sign")
        return 0

    def look_after_guards(self) -> tuple[GuardAction, ...]:
        self.done.append("guards")
        return self.acted

    def worker(self) -> Worker:
        return Worker(
            cast(Reconciler, self),
            self.sequence,
            self.checkpoint,
            self.sweep,
            self.delete_files,
            cast(Cleaning, None),
            self.sign,
            lambda: 0,
            self.look_after_guards,
            self.traced.append,
        )


class HandClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_events_get_their_places_until_none_is_left_once_what_should_run_does() -> None:
    parts = Parts(unsequenced=[100, 3])
    Turns(parts.worker(), HandClock()).turn()
    assert parts.done == [
        "step",
        "sequence",
        "sequence",
        "sequence",
        "guards",
        "sign",
        "checkpoint",
        "sweep",
        "files",
    ]


def test_events_get_their_places_even_if_nothing_can_run() -> None:
    parts = Parts(unsequenced=[100], fault=OSError("no host"))
    Turns(parts.worker(), HandClock()).turn()
    assert parts.done[:3] == ["step", "sequence", "sequence"]


def test_guards_look_every_two_seconds_and_what_they_do_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    parts, clock = Parts(), HandClock()
    turns = Turns(parts.worker(), clock)
    for now in (1000.0, 1001.9, 1002.0, 1003.0, 1004.0):
        clock.now = now
        turns.turn()
    assert parts.done.count("guards") == 3
    parts.acted = (GuardAction("rel_1", Action.ROLL_BACK, "10 % failed."),)
    clock.now = 1006.0
    turns.turn()
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(one["level"], one["release"], one["why"]) for one in said] == [
        ("warning", "rel_1", "10 % failed.")
    ]


@pytest.mark.parametrize(
    ("step", "pause"),
    [(Step(), 1.0), (Step(live=("rel_1",)), 1.0), (Step(waiting=("rel_1",)), 0.1), (Step(trouble="no"), 0.1)],
)
def test_it_looks_again_soon_while_something_waits(step: Step, pause: float) -> None:
    assert Turns(Parts(steps=[step]).worker(), HandClock()).turn() == pause


def test_events_of_a_burst_get_their_places_together() -> None:
    parts, clock = Parts(), HandClock()
    turns = Turns(parts.worker(), clock)
    pauses = []
    for now in (1000.0, 1000.05, 1000.09, 1000.2):
        clock.now = now
        before = len(parts.done)
        pauses.append((turns.turn(), "sequence" in parts.done[before:]))
    assert pauses == [(1.0, True), (0.1, False), (0.1, False), (1.0, True)]


def test_checkpoints_are_signed_once_a_minute() -> None:
    parts, clock = Parts(), HandClock()
    turns = Turns(parts.worker(), clock)
    for now in (1000.0, 1059.9, 1060.0, 1061.0, 1120.0):
        clock.now = now
        turns.turn()
    assert parts.done.count("checkpoint") == 3


def test_exports_are_signed_when_something_happened_and_once_a_minute() -> None:
    parts, clock = Parts(), HandClock()
    turns = Turns(parts.worker(), clock)
    for now, events in ((1000.0, []), (1001.0, []), (1002.0, [1]), (1003.0, []), (1060.0, [])):
        clock.now, parts.unsequenced = now, events
        turns.turn()
    assert parts.done.count("sign") == 3


def test_trouble_is_said_when_it_begins_and_when_it_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    trouble = "the gateway does not answer"
    parts = Parts(steps=[Step(trouble=trouble), Step(trouble=trouble), Step(), Step()])
    turns = Turns(parts.worker(), HandClock())
    for _ in range(4):
        turns.turn()
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["message"]) for line in said] == [
        ("error", trouble),
        ("info", "what should run, runs again"),
    ]


def test_each_end_of_a_release_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    timed = cast(TimedRelease, object())
    parts = Parts(steps=[Step(live=("rel_1",), failed=("rel_2",), timed=(timed,))])
    Turns(parts.worker(), HandClock()).turn()
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["release"]) for line in said] == [("info", "rel_1"), ("warning", "rel_2")]
    assert parts.traced == [timed]


@pytest.mark.parametrize("broken", ["step", "sequence", "sign", "look_after_guards", "checkpoint", "sweep"])
def test_a_part_that_fails_keeps_no_other_from_being_done(
    broken: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(parts: Parts) -> int:
        parts.done.append("failed")
        raise OSError("the disk is full")

    monkeypatch.setattr(Parts, broken, fail)
    parts = Parts()
    turns = Turns(parts.worker(), HandClock())
    assert turns.turn() == 1.0
    assert len(parts.done) == 7
    assert parts.done.count("failed") == 1
    [said] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (said["level"], "the disk is full" in said["error"]) == ("error", True)


def test_a_guard_that_cannot_look_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    parts = Parts(acted=(GuardAction("rel_1", Action.WATCH, "It looks again."),))
    Turns(parts.worker(), HandClock()).turn()
    [said] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (said["level"], said["message"]) == ("warning", "a guard could not look")
