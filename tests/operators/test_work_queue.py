"""The queue with a clock that the test turns; and what trouble does to a key."""

from __future__ import annotations

import logging

import pytest

from operators.cluster import Cluster
from operators.work_queue import Key, WorkQueue
from operators.worker import FUNCTIONS, TOMBSTONES, Resync, Worker
from tests.operators.stage import Stage, digest, function_body

A: Key = (FUNCTIONS, "shop", "a")
B: Key = (FUNCTIONS, "shop", "b")


class Time:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_key_comes_once_however_often_it_was_added() -> None:
    queue = WorkQueue(Time())
    for _ in range(3):
        queue.add(A)
    assert queue.take(0) == A
    assert queue.take(0) is None


def test_a_key_is_never_with_two_workers_and_comes_again_if_it_changed_meanwhile() -> None:
    queue = WorkQueue(Time())
    queue.add(A)
    assert queue.take(0) == A
    queue.add(A)
    assert queue.take(0) is None
    queue.done(A)
    assert queue.take(0) == A


def test_others_do_not_wait_for_a_key_that_is_worked_on() -> None:
    queue = WorkQueue(Time())
    queue.add(A)
    queue.add(B)
    assert {queue.take(0), queue.take(0)} == {A, B}


def test_trouble_brings_a_key_back_later_and_later_and_success_forgets_it() -> None:
    time = Time()
    queue = WorkQueue(time)
    delays = []
    queue.add(A)
    for _ in range(12):
        assert queue.take(0) == A
        delays.append(queue.failed(A))
        assert queue.take(0) is None
        time.seconds += delays[-1]
    assert delays[:4] == [0.2, 0.4, 0.8, 1.6]
    assert delays[-1] == 60
    assert queue.take(0) == A
    queue.done(A)
    queue.add(A)
    assert queue.take(0) == A
    assert queue.failed(A) == 0.2


def test_a_change_does_not_wait_for_the_next_attempt() -> None:
    queue = WorkQueue(Time())
    queue.add(A, after_s=60)
    assert queue.take(0) is None
    queue.add(A)
    assert queue.take(0) == A
    queue.done(A)
    assert queue.take(0) is None


def test_closing_ends_every_taker() -> None:
    queue = WorkQueue()
    queue.close()
    assert queue.take(60) is None


def worker(stage: Stage, queue: WorkQueue) -> Worker:
    return Worker(queue, stage.reconciler, stage.tombstones)


def test_a_worker_looks_at_a_function_and_at_what_a_tombstone_concerns(stage: Stage) -> None:
    queue = WorkQueue(Time())
    turn = worker(stage, queue)
    stage.write(function_body())
    Resync(stage.cluster, queue, namespace="ingot-system", every_s=300).everything()
    assert turn.step(0)
    assert stage.service() is not None
    stage.bury(1, digest("1"))
    queue.add((TOMBSTONES, "", "fn-orders"))
    assert turn.step(0)
    assert turn.step(0)
    assert stage.service() is None
    assert not turn.step(0)


@pytest.mark.parametrize("status", [409, 500, 422])
def test_a_look_that_failed_comes_again(stage: Stage, status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    time = Time()
    queue = WorkQueue(time)
    stage.write(function_body())
    stage.api.refusals["functions", "orders"] = (status, "no")
    queue.add((FUNCTIONS, "shop", "orders"))
    turn = worker(stage, queue)
    assert turn.step(0)
    assert not turn.step(0)
    stage.api.refusals.clear()
    time.seconds += 1
    assert turn.step(0)
    assert stage.service() is not None


def test_a_bug_in_one_look_does_not_end_the_worker(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    queue = WorkQueue(Time())
    stage.write(function_body())
    stage.before_fence = lambda: print(int("no number"))
    queue.add((FUNCTIONS, "shop", "orders"))
    turn = worker(stage, queue)
    assert turn.step(0)
    assert "ValueError" in caplog.text
    assert not turn.step(0)


def test_everything_is_looked_at_when_trust_changes_and_only_then(stage: Stage) -> None:
    queue = WorkQueue(Time())
    resync = Resync(stage.cluster, queue, namespace="ingot-system", every_s=300)
    stage.write(function_body())
    resync.step()
    assert queue.take(0) == (FUNCTIONS, "shop", "orders")
    queue.done((FUNCTIONS, "shop", "orders"))
    stage.settle()
    resync.step()
    assert queue.take(0) is None
    stage.trust(approvals=2)
    resync.step()
    assert queue.take(0) == (FUNCTIONS, "shop", "orders")


def test_what_no_watch_told_of_is_found_soon(stage: Stage) -> None:
    queue = WorkQueue(Time())
    resync = Resync(stage.cluster, queue, namespace="ingot-system", every_s=300)
    resync.step()
    stage.write(function_body())
    resync.step()
    assert queue.take(0) == (FUNCTIONS, "shop", "orders")
    queue.done((FUNCTIONS, "shop", "orders"))
    # It was seen, and waits for its first instance.
    stage.look()
    resync.step()
    assert queue.take(0) == (FUNCTIONS, "shop", "orders")
    queue.done((FUNCTIONS, "shop", "orders"))
    stage.settle()
    resync.step()
    assert queue.take(0) is None


def test_an_api_server_that_is_gone_is_an_error_of_its_own(stage: Stage) -> None:
    from operators.cluster import Unreachable
    from operators.kinds import FUNCTION
    from tests.support.fake_api_server import FakeApiServer

    with FakeApiServer() as api:
        client: Cluster = api.client()
    with pytest.raises(Unreachable, match="does not answer"):
        client.get(FUNCTION, "shop", "orders")
    client.close()
