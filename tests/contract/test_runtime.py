"""What every `Runtime` must do: the function host and the fake that services are tested with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from control_plane.adapters.embedded.runtime import EmbeddedRuntime
from control_plane.domain.desired import HostState, HostTarget, ReleaseShare, WantedRelease
from control_plane.errors import Invalid, NotFound, Unavailable
from control_plane.ports import Runtime, TestCall, TestOutcome
from tests.support.fake_runtime import FakeRuntime
from tests.support.function_host import HELLO, FunctionHost, until
from tests.support.played_cluster import PlayedCluster, image_of

CALL = TestCall("POST", "/", (("Content-Type", "application/json"),), b'{"name": "Ada"}', 10_000)


class World(NamedTuple):
    """A runtime, and how to make targets for it."""

    runtime: Runtime
    good: Callable[[], HostTarget]
    broken: Callable[[], HostTarget]
    # It has a function host, which can try drafts and listens on sockets.
    hosted: bool = True


def wanted(epoch: int, *targets: HostTarget) -> HostState:
    """Return a state in which each target has all calls of its function."""
    releases = {
        one.function: WantedRelease(
            function=one.function,
            function_name=one.function_name,
            organization=one.organization,
            project=one.project,
            number=1,
            digest=one.digest,
            approvals=1,
            shares=(ReleaseShare(one.id, 100),),
        )
        for one in targets
    }
    return HostState(epoch, targets, tuple(releases.values()))


def named(target: HostTarget) -> HostTarget:
    """Return the target of a function with a name of its own, as functions have in a cluster."""
    return replace(target, function_name=f"toy-{target.id}")


@pytest.fixture(scope="module", params=["fake", "embedded", "cluster"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    host = FunctionHost()
    if request.param == "cluster":
        with PlayedCluster() as cluster:
            yield World(
                cluster.runtime, lambda: named(host.target()), _broken_in(cluster, host), hosted=False
            )
        host.stop()
        return
    if request.param == "embedded":
        with host:
            runtime = EmbeddedRuntime(host.folder / "host", host.folder / "run")
            yield World(runtime, host.target, lambda: host.target("1/0\n" + HELLO))
        return
    fake = FakeRuntime()

    def good() -> HostTarget:
        target = host.target()
        answer = TestOutcome(
            200, (("Content-Type", "application/json"),), b'{"hello":"Ada"}', duration_ms=1.0
        )
        fake.answers[target.digest] = answer
        return target

    def broken() -> HostTarget:
        target = host.target("1/0\n" + HELLO)
        fake.broken[target.digest] = ("import_failed", "ZeroDivisionError: division by zero")
        return target

    yield World(fake, good, broken)
    host.stop()


def _broken_in(cluster: PlayedCluster, host: FunctionHost) -> Callable[[], HostTarget]:
    def broken() -> HostTarget:
        target = named(host.target("1/0\n" + HELLO))
        said = json.dumps({"code": "import_failed", "message": "ZeroDivisionError: division by zero"})
        ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": said}}
        state = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
        cluster.stage.knative.broken[image_of(target)] = state
        return target

    return broken


@pytest.fixture
def hosted(world: World) -> World:
    """Return the world if it can try drafts."""
    if not world.hosted:
        pytest.skip("in a cluster there is no function host: it refuses, which has a test of its own")
    return world


@pytest.fixture
def epoch(world: World) -> int:
    return int(world.runtime.status()["epoch"]) + 1


def test_what_is_applied_is_there_and_what_is_not_is_gone(world: World, epoch: int) -> None:
    first, second = world.good(), world.good()
    world.runtime.apply(wanted(epoch, first, second))
    assert set(world.runtime.status()["targets"]) == {first.id, second.id}
    world.runtime.apply(wanted(epoch + 1, second))
    status = world.runtime.status()
    assert set(status["targets"]) == {second.id}
    assert status["epoch"] == epoch + 1
    until(lambda: world.runtime.status()["targets"][second.id]["state"] == "idle")


def test_applying_the_same_state_again_changes_nothing(world: World, epoch: int) -> None:
    target = world.good()
    for _ in range(2):
        world.runtime.apply(wanted(epoch, target))
    assert set(world.runtime.status()["targets"]) == {target.id}


def test_an_older_state_is_refused(world: World, epoch: int) -> None:
    target = world.good()
    world.runtime.apply(wanted(epoch, target))
    with pytest.raises(Invalid):
        world.runtime.apply(wanted(epoch - 1))
    assert set(world.runtime.status()["targets"]) == {target.id}


def test_a_state_that_names_a_target_twice_is_refused_as_a_whole(world: World, epoch: int) -> None:
    first, second = world.good(), world.good()
    world.runtime.apply(wanted(epoch, first))
    with pytest.raises(Invalid):
        world.runtime.apply(wanted(epoch + 1, second, replace(second)))
    assert set(world.runtime.status()["targets"]) == {first.id}


def test_preparing_says_whether_the_code_loads(world: World, epoch: int) -> None:
    good, broken = world.good(), world.broken()
    world.runtime.apply(wanted(epoch, good, broken))
    assert world.runtime.prepare(good.id, 10_000).ok
    prepared = world.runtime.prepare(broken.id, 10_000)
    assert (prepared.ok, prepared.code) == (False, "import_failed")
    assert "ZeroDivisionError" in prepared.message
    assert prepared.log


def test_preparing_an_unknown_target_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        world.runtime.prepare("t0000000000000000", 1000)


def test_a_test_run_needs_no_wanted_state(hosted: World, epoch: int) -> None:
    target = hosted.good()
    hosted.runtime.apply(wanted(epoch))
    outcome = hosted.runtime.test(target, CALL)
    assert (outcome.status, outcome.body, outcome.code) == (200, b'{"hello":"Ada"}', "")
    assert dict(outcome.headers)["Content-Type"] == "application/json"
    assert outcome.duration_ms > 0
    assert hosted.runtime.status()["targets"] == {}


def test_a_test_run_of_broken_code_has_a_code_and_no_answer(hosted: World) -> None:
    outcome = hosted.runtime.test(hosted.broken(), CALL)
    assert (outcome.status, outcome.code) == (0, "import_failed")
    assert "ZeroDivisionError" in outcome.message


def test_a_target_has_a_socket_of_its_own(hosted: World) -> None:
    paths = {hosted.runtime.socket_path(f"t{number:016x}") for number in range(3)}
    assert len(paths) == 3
    assert all(path.startswith("/") and len(path) <= 90 for path in paths)


def test_a_host_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    runtime = EmbeddedRuntime(tmp_path, tmp_path)
    with pytest.raises(Unavailable, match="does not answer"):
        runtime.status()


def test_a_wanted_socket_takes_calls_when_apply_returns() -> None:
    with FunctionHost() as host:
        runtime = EmbeddedRuntime(host.folder / "host", host.folder / "run")
        target = host.target()
        runtime.apply(HostState(99, (target,)))
        assert runtime.socket_path(target.id) == str(host.socket(target))
        assert host.call(target, {"name": "x"}) == (200, {"hello": "x"})
        runtime.apply(HostState(100, ()))
        until(lambda: not host.socket(target).exists())


def test_preparing_can_wait_for_code_that_is_not_wanted_yet(world: World, epoch: int) -> None:
    target = world.good()
    world.runtime.apply(wanted(epoch))
    early = world.runtime.prepare(target.id, 50, target.digest)
    assert (early.ok, early.code) == (False, "start_timeout")
    world.runtime.apply(wanted(epoch + 1, target))
    other = world.runtime.prepare(target.id, 50, "sha256:" + "0" * 64)
    assert (other.ok, other.code) == (False, "start_timeout")
    assert world.runtime.prepare(target.id, 10_000, target.digest).ok


def test_a_run_that_does_not_run_has_no_logs_and_cannot_be_cancelled(world: World) -> None:
    assert world.runtime.test_logs("run_none") == ()
    assert world.runtime.cancel_test("run_none") is False


SLOW = """
import time
def execute(input, context):
    context.logger.info('begun')
    time.sleep(20)
"""


def test_a_test_run_is_watched_and_cancelled_while_it_runs() -> None:
    with FunctionHost() as host, ThreadPoolExecutor(1) as pool:
        runtime = EmbeddedRuntime(host.folder / "host", host.folder / "run")
        target = host.target(SLOW)
        running = pool.submit(runtime.test, target, replace(CALL, timeout_ms=30_000, run="run_1"))
        until(lambda: runtime.test_logs("run_1"))
        assert runtime.test_logs("run_1")[0]["message"] == "begun"
        assert runtime.cancel_test("run_1")
        outcome = running.result(10)
        assert (outcome.code, outcome.logs[0]["message"]) == ("cancelled", "begun")
        assert runtime.test_logs("run_1") == ()


def test_new_code_of_the_same_target_is_loaded_at_once_and_the_old_finishes() -> None:
    with FunctionHost() as host, ThreadPoolExecutor(2) as pool:
        runtime = EmbeddedRuntime(host.folder / "host", host.folder / "run")
        code = "import time\ndef execute(input, context):\n    time.sleep(0.5)\n    return 'old'\n"
        old = replace(host.target(code), warm=False, volatile=True)
        runtime.apply(HostState(1, (old,)))
        slow = pool.submit(host.call, old, {})
        until(lambda: any(one["busy"] for one in runtime.status()["targets"][old.id]["instances"]))
        new = host.target("def execute(input, context):\n    return 'new'\n")
        new = replace(new, id=old.id, warm=False, volatile=True)
        ready = pool.submit(runtime.prepare, old.id, 10_000, new.digest)
        runtime.apply(HostState(2, (new,)))
        assert ready.result(15).ok
        assert host.call(old, {}) == (200, "new")
        assert slow.result(15) == (200, "old")
        templates = runtime.status()["templates"]
        assert [one for one in templates if one["level"] == 2] == [], "what changes soon is not kept warm"
