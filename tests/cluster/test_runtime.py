"""The cluster's runtime on the real cluster: what it writes becomes functions that answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from control_plane.adapters.cluster.attesting import trust_entry
from control_plane.adapters.cluster.runtime import ClusterRuntime, Keys
from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.adapters.embedded.secrets import AesSealer
from control_plane.domain.desired import (
    HostState,
    HostTarget,
    Limits,
    ReleaseShare,
    Takedown,
    WantedRelease,
)
from operators.kinds import ADMISSION, CONFIG_MAP, FUNCTION, KNATIVE_SERVICE, NAMESPACE, POD, TOMBSTONE
from operators.resources import names
from tests.cluster.function_fixtures import images, operator, routed
from tests.operators.stage import digest
from tests.support.cluster_images import ClusterImages, Pushed
from tests.support.cluster_operator import ClusterOperator, call
from tests.support.function_host import until

__all__ = ["images", "operator", "routed"]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

READS = """
def execute(input, context):
    told = {{"region": context.settings.get("REGION"), "token": context.secrets.get("TOKEN")}}
    return {{"number": {number}, **told}}
"""

WRITES = """
import os


def writable(path):
    try:
        with open(path, "w") as file:
            file.write("x")
    except OSError:
        return False
    return True


def execute(input, context):
    tmp = os.statvfs("/tmp")
    return {{
        "number": {number},
        "writable": [path for path in input if writable(path)],
        "megabytes": tmp.f_blocks * tmp.f_frsize >> 20,
        "executable": not tmp.f_flag & os.ST_NOEXEC,
    }}
"""


class World(NamedTuple):
    """A runtime, and how to make targets of a function of this test alone."""

    runtime: ClusterRuntime
    target: Callable[..., HostTarget]
    namespace: str
    sealer: AesSealer


@pytest.fixture
def world(operator: ClusterOperator, images: ClusterImages) -> Iterator[World]:
    mark = uuid.uuid4().hex[:10]
    signer, sealer = Ed25519Signer(uuid.uuid4().bytes * 2), AesSealer(b"m" * 32)
    name, entry = trust_entry(signer)
    operator.trust(name, entry | {"namespaces": [f"prj-{mark}"]})
    pushed: dict[str, Pushed] = {}
    client = operator.cluster
    # An Ingot that was here before may have counted further.
    client.delete(CONFIG_MAP, "ingot-system", "ingot-runtime")
    # What it may do is part of what is tried.
    limited = operator.acting_as("ingot:console")
    runtime = ClusterRuntime(limited, Keys(signer, sealer), lambda target: pushed[target.digest].image)

    def target(number: int, source: str = READS, **fields: Any) -> HostTarget:
        made = images.push(
            source.format(number=number), settings=("REGION",), secrets=("TOKEN",), name="orders"
        )
        pushed[made.digest] = made
        plain = HostTarget(
            id=f"t{mark}{number:06x}",
            organization="org_test",
            project=f"prj_{mark}",
            function=f"fn_{mark}",
            function_name="orders",
            version=f"ver_{number}",
            number=number,
            digest=made.digest,
            runtime="python3.11",
            kind="handler",
            handler="main:execute",
            layers={},
            limits=Limits(memory_mb=128),
        )
        return replace(plain, **fields)

    yield World(runtime, target, names.namespace(f"prj_{mark}"), sealer)
    client.delete(FUNCTION, names.namespace(f"prj_{mark}"), "orders")
    client.delete(TOMBSTONE, "", f"fn-{mark}")
    client.delete(ADMISSION, "", f"fn-{mark}")
    client.delete(CONFIG_MAP, "ingot-system", "ingot-runtime")
    limited.close()
    client.delete(NAMESPACE, "", names.namespace(f"prj_{mark}"))


def state(epoch: int, *targets: HostTarget, shares: dict[int, int] | None = None) -> HostState:
    """Return a state with one release; `shares` maps a target's place to percent."""
    first = targets[0]
    release = WantedRelease(
        function=first.function,
        function_name=first.function_name,
        organization=first.organization,
        project=first.project,
        number=epoch,
        digest=digest("e"),
        approvals=1,
        shares=tuple(ReleaseShare(targets[n].id, p) for n, p in (shares or {0: 100}).items()),
    )
    return HostState(epoch, targets, (release,))


@pytest.mark.usefixtures("routed")
def test_a_release_answers_with_its_values_and_the_next_one_takes_over(world: World) -> None:
    sealed = world.sealer.seal("org_test", b"s3cret")
    first = world.target(1, settings={"REGION": "eu"}, secrets={"TOKEN": sealed})
    world.runtime.apply(state(1, first))
    assert world.runtime.prepare(first.id, 60_000).ok
    assert call(world.namespace, "orders").json() == {"number": 1, "region": "eu", "token": "s3cret"}
    second = world.target(2, settings={"REGION": "us"}, secrets={"TOKEN": sealed})
    world.runtime.apply(state(2, first, second))
    prepared = world.runtime.prepare(second.id, 60_000)
    assert prepared.ok
    # It answers under its own name before it gets any of the function's calls.
    assert call(world.namespace, "orders").json()["number"] == 1
    assert call(world.namespace, f"{second.id}-orders").json()["region"] == "us"
    world.runtime.apply(state(3, second))
    until(lambda: call(world.namespace, "orders").json()["number"] == 2, 30)
    status = world.runtime.status()
    assert status["epoch"] == 3
    assert status["targets"][second.id]["state"] == "idle"
    assert first.id not in status["targets"]


@pytest.mark.usefixtures("routed")
def test_tmp_is_memory_without_a_volume_and_nothing_else_can_be_written(
    operator: ClusterOperator, world: World
) -> None:
    one = world.target(1, WRITES)
    world.runtime.apply(state(1, one))
    assert world.runtime.prepare(one.id, 60_000).ok
    paths = ["/tmp/x", "/dev/shm/y", "/var/tmp/x", "/x", "/etc/x", "/opt/ingot/function/x"]
    found = call(world.namespace, "orders", paths).json()
    assert found == {"number": 1, "writable": paths[:2], "megabytes": 64, "executable": False}
    pods = operator.cluster.list(POD, world.namespace)
    assert [pod["spec"].get("volumes", []) for pod in pods] == [[]]


def test_code_that_does_not_load_fails_with_its_own_words(world: World) -> None:
    broken = world.target(1, "1 / 0\ndef execute(input, context):\n    return {number}\n")
    world.runtime.apply(state(1, broken))
    prepared = world.runtime.prepare(broken.id, 60_000)
    assert (prepared.ok, prepared.code) == (False, "import_failed")
    assert "division by zero" in prepared.message


def test_a_takedown_ends_what_runs(operator: ClusterOperator, world: World) -> None:
    one = world.target(1)
    world.runtime.apply(state(1, one))
    until(lambda: operator.cluster.get(KNATIVE_SERVICE, world.namespace, "orders"), 30)
    down = (Takedown(one.function, (one.digest,)),)
    world.runtime.apply(replace(state(2, one), takedowns=down))
    until(lambda: operator.cluster.get(KNATIVE_SERVICE, world.namespace, "orders") is None, 30)
    prepared = world.runtime.prepare(one.id, 5_000)
    assert prepared.code == "not_admitted"


def test_the_epoch_is_kept_in_the_cluster(operator: ClusterOperator, world: World) -> None:
    world.runtime.apply(HostState(41, ()))
    body = operator.cluster.get(CONFIG_MAP, "ingot-system", "ingot-runtime")
    assert body is not None
    assert body["data"] == {"epoch": "41"}
