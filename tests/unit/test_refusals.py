"""Every refusal of the gateway and every exit that breaks a call has an explanation."""

from __future__ import annotations

from control_plane.adapters.gateway.refusals import REFUSALS as GATEWAY
from control_plane.domain.metering import _PLATFORM_EXITS, AUTHOR_EXITS
from control_plane.domain.refusals import EXITS, REFUSALS


def test_each_code_of_the_gateway_is_explained() -> None:
    # A preflight is no problem of the gateway's table, but it is why a call did not reach its function.
    assert set(REFUSALS) - {"preflight"} >= set(GATEWAY)


def test_each_exit_that_can_break_a_call_is_explained() -> None:
    assert set(EXITS) == AUTHOR_EXITS | _PLATFORM_EXITS


def test_the_explanations_are_sentences() -> None:
    for explained in (*REFUSALS.values(), *EXITS.values()):
        assert explained.rule.endswith(".")
        assert explained.action.endswith(".")
