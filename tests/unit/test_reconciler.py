"""The reconciler's order, its failures, and that it may be killed at any line."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from control_plane.domain.releases import ReleaseState
from control_plane.errors import Unavailable
from control_plane.ports import Prepared
from control_plane.services.releases import Wish
from control_plane.store.journal_rows import AuditFilter
from tests.support.builders import World
from tests.unit.conftest import People


@pytest.fixture
def two(world: World, people: People) -> World:
    """Version 1 is live, version 2 approved and its release pending."""
    for code in ("x = 1\n", "x = 2\n"):
        version = world.frozen(people.author, text=code)
        world.approved(people.author, people.reviewer, version)
        if version.number == 1:
            world.released(people.operator, version)
    world.releases.apply(people.operator, "orders", [Wish(2, 100)])
    return world


def live_number(world: World) -> int:
    """Return the version that the gateway sends calls to."""
    state = world.gateway.states[-1]
    versions = {target.id: target.version for target in state.targets}
    shares = next(route.shares for route in state.routes if route.path == "acme/orders")
    with world.engine.connect() as connection:
        found = connection.execute(
            text("SELECT number FROM versions WHERE id = :id"), {"id": versions[shares[0].target]}
        )
        return int(found.scalar_one())


def test_the_old_version_serves_until_the_new_one_answers(two: World, people: People) -> None:
    two.executor.held = True
    step = two.reconciler.step()
    assert len(step.waiting) == 1
    assert live_number(two) == 1
    assert len(two.runtime.states[-1].targets) == 2
    two.executor.release()
    assert two.pokes[-1] == 2
    assert len(two.reconciler.step().live) == 1
    assert live_number(two) == 2
    assert len(two.runtime.states[-1].targets) == 1
    assert two.reconciler.step().settled


def test_code_that_does_not_load_changes_nothing(two: World, people: People) -> None:
    two.runtime.every = Prepared(ok=False, code="import_failed", message="No module named x.", log=("line",))
    step = two.reconciler.step()
    assert len(step.failed) == 1
    assert live_number(two) == 1
    newest = two.releases.status(people.operator, "orders").newest
    assert newest is not None
    assert newest.state is ReleaseState.FAILED
    failed = next(one for one in newest.conditions if one.type == "Failed")
    assert (failed.reason, failed.message) == ("import_failed", "No module named x.\nline")
    assert len(two.runtime.states[-1].targets) == 1
    assert two.settle().settled


@pytest.mark.parametrize("part", ["runtime", "gateway"])
def test_an_absent_part_is_a_condition_and_tried_again(two: World, people: People, part: str) -> None:
    broken: Any = getattr(two, part)
    broken.fault = Unavailable(f"The {part} does not answer.")
    two.restart_reconciler()
    step = two.reconciler.step()
    assert step.trouble == f"The {part} does not answer."
    assert not step.settled
    sequence = two.events.sequence()
    assert sequence
    two.reconciler.step()
    assert two.events.sequence() == 0, "the same reason is told once"
    pending = two.releases.status(people.operator, "orders").pending
    assert pending is not None
    assert pending.conditions[0].message == step.trouble
    broken.fault = None
    assert two.settle().settled
    assert live_number(two) == 2


def test_a_host_that_dies_while_preparing_says_nothing_about_the_code(two: World, people: People) -> None:
    two.executor.held = True
    two.reconciler.step()
    two.runtime.fault = OSError("connection reset")
    two.executor.release()
    assert "connection reset" in two.reconciler.step().trouble
    two.runtime.fault = None
    two.executor.held = False
    assert two.settle().settled
    assert live_number(two) == 2


def test_a_host_that_dies_after_the_switch_loses_no_release(two: World, people: People) -> None:
    applied = two.runtime.apply

    def once_more(state: Any) -> None:
        if two.gateway.states and len(two.gateway.states) > 1:
            raise Unavailable("The host does not answer.")
        applied(state)

    two.runtime.apply = once_more  # type: ignore[method-assign]
    step = two.reconciler.step()
    assert (len(step.live), step.trouble) == (1, "The host does not answer.")
    two.runtime.apply = applied  # type: ignore[method-assign]
    assert two.settle().settled
    assert len(two.runtime.states[-1].targets) == 1


def test_targets_with_open_connections_are_kept(two: World, people: People) -> None:
    old = two.runtime.states[-1].targets[0].id
    two.gateway.lingering = (old,)
    two.reconciler.step()
    assert live_number(two) == 2
    assert old in {target.id for target in two.runtime.states[-1].targets}
    two.gateway.lingering = ()
    two.reconciler.step()
    assert old not in {target.id for target in two.runtime.states[-1].targets}


def test_a_revoked_key_is_cut_after_the_maps_forgot_it(two: World, people: People) -> None:
    key = two.api_keys.create(people.operator, project="main", name="shop").key
    two.settle()
    two.api_keys.revoke(people.operator, key.id)
    two.reconciler.step()
    assert two.gateway.states[-1].keys == ()
    assert two.gateway.cuts == [key.id]
    two.restart_reconciler()
    two.reconciler.step()
    assert two.gateway.cuts == [key.id]
    assert two.api_keys.get(people.operator, key.id).cut_ms


def test_nothing_is_written_when_nothing_changed(two: World, people: People) -> None:
    two.settle()
    before = (len(two.runtime.states), len(two.gateway.states))
    for _ in range(3):
        assert two.reconciler.step().settled
    assert (len(two.runtime.states), len(two.gateway.states)) == before
    two.drafted(people.author, text="x = 3\n")
    two.reconciler.step()
    assert (len(two.runtime.states), len(two.gateway.states)) == before


def test_a_new_process_applies_everything_once_with_a_larger_epoch(two: World, people: People) -> None:
    two.settle()
    host, gateway = two.runtime.states[-1], two.gateway.states[-1]
    two.restart_reconciler()
    two.settle()
    assert replace(two.runtime.states[-1], epoch=host.epoch) == host
    assert replace(two.gateway.states[-1], epoch=gateway.epoch) == gateway
    assert two.runtime.states[-1].epoch > host.epoch


def test_a_superseded_release_is_not_waited_for(two: World, people: People) -> None:
    two.executor.held = True
    two.reconciler.step()
    two.releases.apply(people.operator, "orders", [Wish(1, 100)])
    two.executor.release()
    two.executor.held = False
    assert two.settle().settled
    assert live_number(two) == 1


class _Killed(BaseException):
    """The process ends here, wherever that is."""


def _dying(call: Callable[..., Any], countdown: list[int]) -> Callable[..., Any]:
    def wrapped(*args: Any, **named: Any) -> Any:
        countdown[0] -= 1
        if countdown[0] == 0:
            raise _Killed
        result = call(*args, **named)
        countdown[0] -= 1
        if countdown[0] == 0:
            raise _Killed
        return result

    return wrapped


@pytest.mark.parametrize("moment", range(1, 25))
def test_it_converges_after_a_kill_at_any_moment(
    two: World, people: People, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    countdown = [moment]
    with monkeypatch.context() as patch:
        for owner, name in (
            (two.runtime, "apply"),
            (two.runtime, "prepare"),
            (two.gateway, "apply"),
            (two.store, "begin"),
            (two.store, "read"),
        ):
            patch.setattr(owner, name, _dying(getattr(owner, name), countdown))
        with contextlib.suppress(_Killed):
            two.settle()
    two.restart_reconciler()
    assert two.settle().settled
    assert live_number(two) == 2
    states = [one.state for one in two.releases.list(people.operator, "orders")]
    assert states == [ReleaseState.LIVE, ReleaseState.SUPERSEDED]
    assert two.audit.verify(people.owner).findings == ()
    assert [target.number for target in two.runtime.states[-1].targets] == [2]


def test_the_audit_reports_damage_in_the_stored_chain(two: World, people: People) -> None:
    organization = people.owner.organization
    assert two.audit.checkpoint() == 2
    assert two.audit.checkpoint() == 0
    assert all(one.findings == () for one in two.audit.verify_all())
    last = two.audit.verify(people.owner).entries
    with two.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_entries_delete"))
        connection.execute(
            text("DELETE FROM audit_entries WHERE organization = :org AND sequence > :last"),
            {"org": organization, "last": last - 3},
        )
    kinds = {finding.kind for finding in two.audit.verify(people.owner).findings}
    assert kinds == {"cut"}
    two.anchor.kept[0] = json.dumps(json.loads(two.anchor.kept[0]) | {"sequence": 1})
    two.anchor.kept.append("no json")
    kinds = {finding.kind for finding in two.audit.verify(people.owner).findings}
    assert "checkpoint" in kinds


def test_a_removed_checkpoint_line_is_noticed(two: World, people: People) -> None:
    two.audit.checkpoint(force=True)
    two.drafted(people.author, text="x = 5\n")
    two.audit.checkpoint(force=True)
    del two.anchor.kept[1]
    findings = [finding for one in two.audit.verify_all() for finding in one.findings]
    assert {finding.kind for finding in findings} == {"checkpoint"}


def test_the_audit_is_read_in_pages(two: World, people: People) -> None:
    page = two.audit.entries(people.owner, limit=5)
    assert [entry.sequence for entry in page.items] == [1, 2, 3, 4, 5]
    rest = two.audit.entries(people.owner, after=int(page.next), limit=1_000)
    assert rest.items[0].sequence == 6
    assert rest.next == ""
    release = two.releases.list(people.operator, "orders")[0]
    about = two.audit.entries(people.owner, AuditFilter(subject=release.id))
    assert [entry.action for entry in about.items] == ["release.create"]


def test_a_release_that_comes_during_the_switch_wins(two: World, people: People) -> None:
    applied = two.gateway.apply

    def overtaken(state: Any) -> Any:
        two.gateway.apply = applied  # type: ignore[method-assign]
        two.releases.apply(people.operator, "orders", [Wish(1, 100)], note="the newest wish")
        return applied(state)

    two.gateway.apply = overtaken  # type: ignore[method-assign]
    two.restart_reconciler()
    assert two.reconciler.step().live == ()
    assert two.settle().settled
    live = two.releases.status(people.operator, "orders").live
    assert live is not None
    assert live.note == "the newest wish"
    assert live_number(two) == 1


def test_a_failure_of_an_overtaken_release_is_not_told(two: World, people: People) -> None:
    two.runtime.every = Prepared(ok=False, code="import_failed")
    applied = two.gateway.apply

    def overtaken(state: Any) -> Any:
        two.gateway.apply = applied  # type: ignore[method-assign]
        two.releases.apply(people.operator, "orders", [Wish(1, 100)])
        return applied(state)

    two.gateway.apply = overtaken  # type: ignore[method-assign]
    two.restart_reconciler()
    two.reconciler.step()
    states = [one.state for one in two.releases.list(people.operator, "orders")]
    assert states[:2] == [ReleaseState.PENDING, ReleaseState.SUPERSEDED]


def test_each_part_of_a_releases_way_is_timed_once_it_is_over(two: World, people: People) -> None:
    version = two.versions.get(people.author, "orders", 2)
    two.releases.apply(people.operator, "orders", [Wish(version.number, 100)])
    steps = [two.reconciler.step() for _ in range(3)]
    [timed] = [one for step in steps for one in step.timed]
    assert (timed.release.number, timed.live) == (3, True)
    assert [phase.name for phase in timed.phases] == ["hand to host", "activation", "switch"]
    assert timed.phases[1].target != ""
    assert all(phase.start_ms <= phase.end_ms <= timed.ended_ms for phase in timed.phases)
