"""What every Gateway must do, run against HAProxy and against the fake."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

from control_plane.domain.desired import GatewayState, Route, Share, Target
from control_plane.errors import Invalid
from control_plane.ports import Gateway
from tests.gateway.harness import (
    SECRET,
    a_world,
    caller_key,
    open_websocket,
    policy,
    read_reply_head,
    until,
    websocket,
)
from tests.support.fake_gateway import FakeGateway


class Subject(Protocol):
    """A gateway and the way to open a session through it."""

    gateway: Gateway

    def target(self, name: str) -> Target: ...

    def open(self, target: str) -> None: ...


@dataclasses.dataclass
class OfHAProxy:
    gateway: Gateway
    target: Callable[[str], Target]
    open: Callable[[str], None]


class OfFake:
    def __init__(self) -> None:
        self.fake = FakeGateway()
        self.gateway: Gateway = self.fake

    def target(self, name: str) -> Target:
        return Target(
            name, f"/run/{name}.sock", "org_acme", "prj_shop", "fn_orders", "ver_1", 1, 1_000, 64, True
        )

    def open(self, target: str) -> None:
        self.fake.sessions.append((caller_key().key, target))


@pytest.fixture(params=["haproxy", "fake"])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    if request.param == "fake":
        yield OfFake()
        return
    with a_world(tmp_path_factory.mktemp("g")) as world, contextlib.ExitStack() as opened:
        world.start()

        def target(name: str) -> Target:
            if name not in world.toys:
                world.toy(name, websocket)
            return world.target(name, streaming=True)

        def open_session(name: str) -> None:
            connection = opened.enter_context(open_websocket(world, f"/acme/{name}", f"ingot.key.{SECRET}"))
            assert read_reply_head(connection).status == 101
            until(lambda: f"srv={name} " in world.gateway._admin.ask("show sess"))

        yield OfHAProxy(world.gateway, target, open_session)


def state_of(*targets: Target) -> GatewayState:
    routes = tuple(Route(f"acme/{each.id}", "fn_orders", (Share(each.id, 100),)) for each in targets)
    return GatewayState(1, targets, routes, (policy(),), (caller_key(),))


def test_a_change_is_live_when_apply_returns(subject: Subject) -> None:
    assert subject.gateway.apply(state_of(subject.target("t1"))).commands > 0
    subject.open("t1")
    assert subject.gateway.cut("t1") >= 1


def test_an_unchanged_state_sends_nothing_even_with_a_new_epoch(subject: Subject) -> None:
    state = state_of(subject.target("t1"))
    subject.gateway.apply(state)
    again = subject.gateway.apply(dataclasses.replace(state, epoch=2))
    assert (again.commands, again.reloaded, again.lingering) == (0, False, ())


def test_a_removed_target_lingers_while_it_is_used(subject: Subject) -> None:
    subject.gateway.apply(state_of(subject.target("t1"), subject.target("t2")))
    subject.open("t1")
    assert subject.gateway.apply(state_of(subject.target("t2"))).lingering == ("t1",)


def test_cutting_a_key_ends_its_sessions_once(subject: Subject) -> None:
    subject.gateway.apply(state_of(subject.target("t1"), subject.target("t2")))
    subject.open("t1")
    subject.open("t2")
    assert subject.gateway.cut("key_unused") == 0
    assert subject.gateway.cut(caller_key().key) == 2

    def ended() -> bool:
        return subject.gateway.cut(caller_key().key) == 0

    until(ended)


@pytest.mark.parametrize(
    "change",
    [
        {"routes": (Route("acme/t1", "fn_orders", (Share("t1", 90),)),)},
        {"routes": (Route("acme/t1", "fn_orders", (Share("t9", 100),)),)},
        {"routes": (Route("acme/t1", "fn_other", (Share("t1", 100),)),)},
    ],
)
def test_a_state_that_does_not_fit_together_is_refused(subject: Subject, change: dict[str, object]) -> None:
    good = state_of(subject.target("t1"))
    subject.gateway.apply(good)
    with pytest.raises(Invalid):
        subject.gateway.apply(dataclasses.replace(good, **change))  # type: ignore[arg-type]
    assert subject.gateway.apply(good).commands == 0
