"""While traces are exported, the record tells where a call stands in its trace, as its function was told."""

from __future__ import annotations

import pytest

from control_plane.domain.traces import TraceContext, parse_traceparent, recorded_context
from tests.gateway.harness import World, a_world

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def serve(world: World) -> None:
    """Start the gateway with one function behind it."""
    world.toy("tplain")
    world.start()
    world.gateway.apply(world.state(world.target("tplain")))


def seen(world: World, **headers: str) -> tuple[TraceContext, tuple[str, str, bool]]:
    """Call once; return what was recorded and what the function was given."""
    reply = world.call("/acme/orders", headers=headers)
    assert reply.status == 200
    recorded = recorded_context(world.record_of(reply).trace)
    given = parse_traceparent(world.toys["tplain"].requests[-1].header("traceparent") or "")
    assert recorded is not None
    assert given is not None
    assert (recorded.trace, recorded.span, recorded.sampled) == given
    return recorded, given


@pytest.mark.parametrize("sampled", [True, False])
def test_a_callers_trace_and_flag_go_on(tmp_path_factory: pytest.TempPathFactory, sampled: bool) -> None:
    with a_world(tmp_path_factory.mktemp("g"), trace_percent=100.0) as world:
        serve(world)
        recorded, _ = seen(world, traceparent=f"00-{TRACE}-{CALLER}-0{int(sampled)}")
        assert (recorded.trace, recorded.parent, recorded.sampled) == (TRACE, CALLER, sampled)


@pytest.mark.parametrize(("percent", "least", "most"), [(100.0, 60, 60), (50.0, 10, 50), (0.01, 0, 3)])
def test_of_the_traces_that_begin_here_a_share_is_marked(
    tmp_path_factory: pytest.TempPathFactory, percent: float, least: int, most: int
) -> None:
    with a_world(tmp_path_factory.mktemp("g"), trace_percent=percent) as world:
        serve(world)
        found = [seen(world)[0] for _ in range(60)]
        assert {one.parent for one in found} == {""}
        assert len({one.span for one in found}) == 60
        assert least <= sum(one.sampled for one in found) <= most
