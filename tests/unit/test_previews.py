"""Previews: what they run, who may call them, and that they end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control_plane.domain.credentials import sha256_hex
from control_plane.domain.desired import GatewayState, HostTarget, Route
from control_plane.domain.previews import IDLE_MS, MOST_OF_A_FUNCTION, Preview
from control_plane.domain.values import MissingValues, Stage, ValueKey, ValueKind
from control_plane.errors import Conflict, Forbidden, NotFound, TooMany
from control_plane.services.preview_expiry import PreviewExpiry
from control_plane.services.previewing import Previewed, gateway_with_previews
from tests.support.builders import World
from tests.unit.conftest import People


def target_of(world: World, preview: Preview) -> HostTarget:
    return next(one for one in world.runtime.states[-1].targets if one.id == preview.target)


def routes(world: World) -> dict[str, Route]:
    return {route.path: route for route in world.gateway.states[-1].routes}


def test_a_preview_has_its_own_path_key_and_policy(world: World, people: People) -> None:
    name = world.drafted(people.author, public=True, unsandboxed_page=True, own_authentication=True)
    made = world.previews.start(people.author, name)
    world.settle()
    preview, state = made.preview, world.gateway.states[-1]
    path = f"acme/orders@draft-{people.author.user[-8:]}"
    assert list(routes(world)) == [path]
    policy = state.policies[0]
    assert routes(world)[path].function == policy.function == preview.id
    assert (policy.public, policy.unsandboxed_page, policy.own_authentication) == (False, False, False)
    key = state.keys[0]
    assert (key.sha256, key.scopes) == (sha256_hex(made.text), (preview.id,))
    assert key.expires_at * 1_000 >= preview.expires_ms > (key.expires_at - 1) * 1_000
    assert made.text not in str(world.previews.list(people.author, name))


def test_it_runs_the_draft_with_test_values_and_is_not_kept_warm(world: World, people: People) -> None:
    name = world.drafted(people.author, secrets=["TOKEN"], limits={"instances": 9, "memory_mb": 128})
    token = ValueKey(ValueKind.SECRET, "TOKEN")
    world.settings.put(people.operator, "main", token, "live-secret")
    with pytest.raises(MissingValues):
        world.previews.start(people.author, name)
    world.settings.put(people.operator, "main", replace(token, stage=Stage.TEST), "test-secret")
    preview = world.previews.start(people.author, name).preview
    world.settle()
    target = target_of(world, preview)
    assert world.sealer.open(people.author.organization, target.secrets["TOKEN"]) == b"test-secret"
    assert (target.digest, target.version) == (preview.digest, preview.id)
    assert (target.warm, target.volatile) == (False, True)
    assert (target.limits.instances, target.limits.memory_mb) == (2, 128)


def test_new_code_changes_the_target_and_nothing_in_the_gateway(world: World, people: People) -> None:
    name = world.drafted(people.author)
    made = world.previews.start(people.author, name)
    world.settle()
    states = len(world.gateway.states)
    world.drafted(people.author, name, "x = 2\n")
    after = world.previews.reload(people.author, name, made.preview.id)
    assert after.digest != made.preview.digest
    assert world.previews.wait(after, 10).code == "start_timeout", "nobody applied it yet"
    world.settle()
    assert len(world.gateway.states) == states
    assert target_of(world, after).digest == after.digest
    assert after.target == made.preview.target
    assert world.previews.wait(after, 10).ok


def test_starting_again_is_the_same_preview_with_another_key(world: World, people: People) -> None:
    name = world.drafted(people.author)
    first = world.previews.start(people.author, name)
    again = world.previews.start(people.author, name)
    assert (again.preview.id, again.preview.tag) == (first.preview.id, first.preview.tag)
    assert again.text != first.text
    other = world.previews.start(people.owner, name)
    assert other.preview.id != first.preview.id
    world.settle()
    assert len(routes(world)) == 2
    assert [key.sha256 for key in world.gateway.states[-1].keys] == [
        sha256_hex(again.text),
        sha256_hex(other.text),
    ]


def test_a_version_has_a_preview_of_its_own_that_never_changes(world: World, people: People) -> None:
    version = world.frozen(people.author)
    preview = world.previews.start(people.author, "orders", version=1).preview
    assert (preview.number, preview.digest, preview.revision) == (1, version.digest, 0)
    assert preview.tag.startswith("v1-")
    with pytest.raises(Conflict, match="does not change"):
        world.previews.reload(people.author, "orders", preview.id)
    world.versions.retire(people.operator, "orders", 1)
    with pytest.raises(Conflict, match="retired"):
        world.previews.start(people.author, "orders", version=1)


def test_it_never_becomes_live_and_leaves_the_release_alone(world: World, people: People) -> None:
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    world.released(people.operator, version)
    released = routes(world)
    world.drafted(people.author, "orders", "x = 2\n")
    preview = world.previews.start(people.author, "orders").preview
    world.settle()
    previewed = routes(world)
    path = f"acme/orders@{preview.tag}"
    assert previewed.pop(path).shares[0].target == preview.target
    assert previewed == released
    world.previews.end(people.author, "orders", preview.id)
    world.settle()
    assert routes(world) == released
    assert preview.target not in {one.id for one in world.runtime.states[-1].targets}


def test_the_gateway_lets_go_before_the_host_does(world: World, people: People) -> None:
    name = world.drafted(people.author)
    preview = world.previews.start(people.author, name).preview
    world.settle()
    world.previews.end(people.author, name, preview.id)
    world.gateway.fault = OSError("it does not answer")
    world.reconciler.step()
    assert target_of(world, preview), "a call that is let in still finds its target"
    world.gateway.fault = None
    world.settle()
    assert world.runtime.states[-1].targets == ()


def test_it_ends_when_nobody_works_with_it(world: World, people: People) -> None:
    name = world.drafted(people.author)
    preview = world.previews.start(people.author, name).preview
    expiry = PreviewExpiry(world.changes)
    world.clock.advance(ms=IDLE_MS // 2 - 1_000)
    assert world.previews.renew(people.author, name, preview.id) == preview, "too early to matter"
    world.clock.advance(ms=2_000)
    renewed = world.previews.renew(people.author, name, preview.id)
    assert renewed.expires_ms == world.clock.ms + IDLE_MS
    assert expiry.sweep() == 0
    world.clock.advance(ms=IDLE_MS)
    assert world.previews.list(people.author, name) == ()
    with pytest.raises(NotFound):
        world.previews.renew(people.author, name, preview.id)
    assert expiry.sweep() == 1
    world.settle()
    assert world.gateway.states[-1].routes == ()
    assert world.previews.start(people.author, name).preview.id != preview.id


def test_a_function_that_is_taken_down_takes_its_previews_along(world: World, people: People) -> None:
    name = world.drafted(people.author)
    world.previews.start(people.author, name)
    world.settle()
    world.functions.remove(people.operator, name)
    world.settle()
    assert world.gateway.states[-1].routes == ()
    with pytest.raises(Conflict, match="taken down"):
        world.previews.start(people.author, name)


def test_only_authors_preview_and_few_at_once(world: World, people: People) -> None:
    name = world.drafted(people.author)
    with pytest.raises(Forbidden):
        world.previews.start(people.reviewer, name)
    preview = world.previews.start(people.author, name).preview
    with pytest.raises(Forbidden):
        world.previews.end(people.reviewer, name, preview.id)
    assert world.previews.get(people.reviewer, name, preview.id) == preview
    for number in range(1, MOST_OF_A_FUNCTION):
        version = world.frozen(people.author, name, f"x = {number}\n")
        world.previews.start(people.author, name, version=version.number)
    with pytest.raises(TooMany):
        world.previews.start(people.owner, name)


def test_a_released_tag_goes_before_a_preview_of_the_same_name(world: World, people: People) -> None:
    name = world.drafted(people.author)
    preview = world.previews.start(people.author, name).preview
    function = world.functions.get(people.author, name)
    taken = Route(f"acme/orders@{preview.tag}", function.id, ())
    state = GatewayState(1, (), (taken,), (), ())
    previewed = Previewed(preview, function, "acme", {})
    assert gateway_with_previews(state, [previewed], lambda target: target) == state
