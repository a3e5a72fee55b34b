"""Where isolation is too weak for several organizations, one of them runs and the others are told."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from control_plane.adapters.embedded.host.tenancy import Tenancy
from tests.support.function_host import FunctionHost
from tests.support.rights import functions_need_an_open_interpreter


def test_namespaces_serve_everybody(tmp_path: Path) -> None:
    tenancy = Tenancy(tmp_path / "organization", "namespaces")
    tenancy.settle(["org_b", "org_a"])
    assert tenancy.refusal("org_a") == tenancy.refusal("org_b") == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("isolation", ["landlock", "none"])
def test_the_one_that_runs_stays_whoever_comes(tmp_path: Path, isolation: str) -> None:
    tenancy = Tenancy(tmp_path / "organization", isolation)
    tenancy.settle([])
    assert tenancy.refusal("org_b") == ""
    tenancy.settle(["org_c", "org_b"])
    assert tenancy.refusal("org_b") == ""
    assert isolation in tenancy.refusal("org_c")
    tenancy.settle(["org_a", "org_b"])
    assert tenancy.refusal("org_b") == ""
    assert tenancy.refusal("org_a")
    restarted = Tenancy(tmp_path / "organization", isolation)
    restarted.settle(["org_a", "org_b"])
    assert restarted.refusal("org_b") == ""
    restarted.settle(["org_c", "org_a"])
    assert restarted.refusal("org_a") == ""
    assert restarted.refusal("org_c")


@functions_need_an_open_interpreter
def test_the_host_refuses_a_second_organization_and_says_why() -> None:
    with FunctionHost(isolation="none") as host:
        own = host.target(organization="org_b")
        host.apply()
        foreign = host.target(organization="org_a")
        host.apply()
        assert host.call(own)[0] == 200
        status, problem = host.call(foreign)
        assert (status, problem["code"], problem["fault"]) == (503, "isolation_unavailable", "platform")
        answer = host.ask({"op": "prepare", "target": foreign.id, "timeout_ms": 5000})
        assert (answer["ok"], answer["code"]) == (False, "isolation_unavailable")
        assert "one organization only" in answer["message"]
        assert host.status(foreign)["state"] == "faulted"
        order = {"op": "test", "target": asdict(foreign), "request": _REQUEST, "timeout_ms": 5000}
        assert host.ask(order)["code"] == "isolation_unavailable"
        # Once the first has left, the other one may.
        del host.targets[own.id]
        host.apply()
        assert host.ask({"op": "prepare", "target": foreign.id, "timeout_ms": 5000})["ok"]


_REQUEST = {"method": "POST", "path": "/", "headers": [], "body": ""}
