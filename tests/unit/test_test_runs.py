"""Test runs that nobody waits for: states, cancelling, what a restart leaves behind."""

from __future__ import annotations

import pytest

from control_plane.errors import Conflict, Forbidden, NotFound, TooMany
from control_plane.ports import TestCall, TestOutcome
from tests.support.builders import World
from tests.unit.conftest import People

CALL = TestCall("POST", "/", (), b"{}", 1_000)


def test_a_run_answers_at_once_and_ends_later(world: World, people: People) -> None:
    name = world.drafted(people.author)
    world.run_executor.held = True
    run = world.test_runs.start(people.author, name, CALL)
    assert (run.state, run.digest) == ("running", "")
    world.run_executor.release()
    done = world.test_runs.get(people.author, name, run.id)
    assert (done.state, done.status) == ("answered", 200)
    assert done.digest.startswith("sha256:")
    assert world.runtime.tests[0][1].run == run.id, "it can be watched and cancelled under its id"


def test_what_keeps_a_run_from_running_stands_in_it(world: World, people: People) -> None:
    name = world.drafted(people.author, settings=["API_URL"])
    run = world.test_runs.start(people.author, name, CALL)
    done = world.test_runs.get(people.author, name, run.id)
    assert (done.state, done.code) == ("failed", "values_missing")
    assert "API_URL" in done.message


def test_a_run_is_cancelled_while_it_runs_and_keeps_its_logs(world: World, people: People) -> None:
    name = world.drafted(people.author)

    def cancel(run: str) -> None:
        assert world.test_runs.cancel(people.author, name, run).state == "cancelled"
        world.runtime.outcome = TestOutcome(code="cancelled", logs=({"message": "half-way"},))

    world.runtime.during = cancel
    done = world.test_runs.run(people.author, name, CALL)
    assert (done.state, done.code, done.logs) == ("cancelled", "cancelled", ({"message": "half-way"},))
    assert world.runtime.cancelled == [done.id]
    assert world.test_runs.cancel(people.author, name, done.id) == done, "whoever repeats it is not refused"
    answered = world.test_runs.start(people.author, world.drafted(people.author, "other"), CALL)
    world.runtime.during = lambda run: None
    with pytest.raises(Conflict, match="already"):
        world.test_runs.cancel(people.author, "other", answered.id)


def test_a_run_that_is_cancelled_before_it_began_never_begins(world: World, people: People) -> None:
    name = world.drafted(people.author)
    world.run_executor.held = True
    run = world.test_runs.start(people.author, name, CALL)
    with pytest.raises(Forbidden):
        world.test_runs.cancel(people.reviewer, name, run.id)
    world.test_runs.cancel(people.author, name, run.id)
    world.run_executor.release()
    assert world.runtime.tests == []
    assert world.test_runs.get(people.author, name, run.id).state == "cancelled"


def test_only_so_many_wait(world: World, people: People) -> None:
    name = world.drafted(people.author)
    world.run_executor.held = True
    for _ in range(36):
        world.test_runs.start(people.author, name, CALL)
    with pytest.raises(TooMany):
        world.test_runs.start(people.author, name, CALL)
    world.run_executor.release()
    world.run_executor.held = False
    assert world.test_runs.start(people.author, name, CALL).state == "running"


def test_a_run_whose_process_died_is_shown_as_interrupted(world: World, people: People) -> None:
    name = world.drafted(people.author)
    world.run_executor.held = True
    run = world.test_runs.start(people.author, name, CALL)
    assert world.test_runs.get(people.author, name, run.id).state == "running"
    world.clock.ms = run.deadline_ms
    shown = world.test_runs.get(people.author, name, run.id)
    assert (shown.state, shown.code) == ("failed", "interrupted")
    assert world.test_runs.list(people.author, name).items == (shown,)
    with pytest.raises(Conflict):
        world.test_runs.cancel(people.author, name, run.id)


def test_runs_come_in_pages_newest_first(world: World, people: People) -> None:
    name = world.drafted(people.author)
    runs = [world.test_runs.run(people.author, name, CALL).id for _ in range(5)]
    page = world.test_runs.list(people.author, name, limit=3)
    rest = world.test_runs.list(people.author, name, after=page.next, limit=3)
    assert [run.id for run in (*page.items, *rest.items)] == runs[::-1]
    assert rest.next == ""


def test_who_watches_sees_each_record_once(world: World, people: People) -> None:
    name = world.drafted(people.author)
    first, second = {"message": "a"}, {"message": "b"}
    world.runtime.outcome = TestOutcome(status=200, logs=(first, second))
    seen = []

    def watch(run: str) -> None:
        world.runtime.logs[run] = (first,)
        seen.append(world.run_watch.look(people.author, name, run, 0))
        world.runtime.logs[run] = (first, second)
        seen.append(world.run_watch.look(people.author, name, run, seen[-1].position))

    world.runtime.during = watch
    run = world.test_runs.run(people.author, name, CALL)
    assert [view.records for view in seen] == [(first,), (second,)]
    last = world.run_watch.look(people.reviewer, name, run.id, 1)
    assert (last.records, last.run.state) == ((second,), "answered")
    world.drafted(people.author, "other")
    with pytest.raises(NotFound):
        world.run_watch.look(people.author, "other", run.id, 0)
