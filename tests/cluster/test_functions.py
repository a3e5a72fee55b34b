"""Functions on the real cluster: the operator as a process with its own rights, real Knative, real images."""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.plan import Plan
from operators.cluster import Refused, connect
from operators.kinds import (
    ADMISSION,
    FUNCTION,
    KNATIVE_SERVICE,
    LEASE,
    NAMESPACE,
    NETWORK_POLICY,
    POD,
    REVISION,
    SECRET,
    SERVICE_ACCOUNT,
    Kind,
)
from tests.cluster.function_fixtures import images, operator, routed
from tests.operators.stage import digest, function_body, version
from tests.support.cluster_images import ClusterImages, Pushed
from tests.support.cluster_operator import ClusterOperator, call
from tests.support.function_host import until

__all__ = ["images", "operator", "routed"]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

CORE_SERVICE = Kind("v1", "Service", "services")
SAYS = "def execute(input, context):\n    return {{'version': {number}}}\n"


@pytest.fixture(scope="module")
def pushed(images: ClusterImages) -> Callable[[int], Pushed]:
    return lambda number: images.push(SAYS.format(number=number))


@pytest.fixture
def namespace(operator: ClusterOperator) -> Iterator[str]:
    """Yield a namespace that goes afterwards; nobody waits the half minute that its pods take to end."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    operator.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, "kubectl")
    yield name
    for body in operator.cluster.list(FUNCTION, name):
        operator.cluster.delete(FUNCTION, name, body["metadata"]["name"])
    operator.cluster.delete(NAMESPACE, "", name)


Body = Callable[..., dict[str, Any]]


@pytest.fixture
def body(namespace: str, pushed: Callable[[int], Pushed]) -> Body:
    """Return how to make Functions in the test's namespace: number -> percent, or ready-made versions."""

    def make(
        shares: dict[int, int] | None = None,
        *versions: dict[str, Any],
        name: str = "orders",
        **fields: Any,
    ) -> dict[str, Any]:
        listed = [
            version(number, percent, image=pushed(number).image, digest=pushed(number).digest)
            for number, percent in (shares or {}).items()
        ]
        made = function_body(*listed, *versions, **fields)
        made["metadata"] = {"name": name, "namespace": namespace}
        made["spec"]["function"] = f"fn_{name}{namespace.replace('-', '')}"[:40]
        return made

    return make


def serving(operator: ClusterOperator, namespace: str, name: str = "orders") -> None:
    until(
        lambda: operator.condition(namespace, name)[0] == "True",
        60,
        f"{name} is {operator.condition(namespace, name)}\n{operator.text()[-3000:]}",
    )


def answers(namespace: str, name: str = "orders") -> int:
    return int(call(namespace, name).json()["version"])


@pytest.mark.usefixtures("routed")
def test_a_file_is_enough(
    operator: ClusterOperator, namespace: str, body: Body, record_property: Callable[[str, Any], None]
) -> None:
    began = time.monotonic()
    operator.write(body({1: 100}))
    serving(operator, namespace)
    record_property("seconds until Ready", round(time.monotonic() - began, 2))
    assert answers(namespace) == 1
    assert answers(namespace, "v1-orders") == 1
    again = time.monotonic()
    operator.write(body({2: 100}))
    serving(operator, namespace)
    record_property("seconds until the next version is Ready", round(time.monotonic() - again, 2))
    assert answers(namespace) == 2


@pytest.mark.usefixtures("routed")
def test_shares_are_kept_and_each_version_has_its_own_address(
    operator: ClusterOperator, namespace: str, body: Body
) -> None:
    operator.write(body({1: 60, 2: 40}))
    serving(operator, namespace)
    seen = Counter(answers(namespace) for _ in range(200))
    assert set(seen) == {1, 2}
    assert 50 <= seen[2] <= 110
    assert {answers(namespace, f"v{number}-orders") for number in (1, 2)} == {1, 2}


@pytest.mark.usefixtures("routed")
def test_drift_is_corrected(operator: ClusterOperator, namespace: str, body: Body) -> None:
    operator.write(body({1: 100}))
    serving(operator, namespace)
    cluster = operator.cluster
    before = cluster.get(NETWORK_POLICY, namespace, "orders")
    cluster.delete(NETWORK_POLICY, namespace, "orders")
    service = cluster.get(KNATIVE_SERVICE, namespace, "orders")
    assert before is not None
    assert service is not None
    service["spec"]["traffic"] = [{"latestRevision": True, "percent": 100}]
    service["metadata"].pop("managedFields")
    cluster.replace(service, "somebody")

    def mended() -> bool:
        policy = cluster.get(NETWORK_POLICY, namespace, "orders")
        now = cluster.get(KNATIVE_SERVICE, namespace, "orders") or {}
        names = [one.get("revisionName") for one in now.get("spec", {}).get("traffic", ())]
        return policy is not None and all(names)

    until(mended, 30)
    serving(operator, namespace)


@pytest.mark.usefixtures("routed")
def test_events_of_a_broker_call_the_function(
    operator: ClusterOperator, namespace: str, body: Body, images: ClusterImages, kubectl: Kubectl
) -> None:
    source = "def execute(input, context):\n    print('came:', input['order'], flush=True)\n"
    made = images.push(source)
    meta = {"name": "default", "namespace": namespace}
    kubectl.apply([{"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": meta}])
    trigger = {"name": "made", "broker": "default", "attributes": {"type": "shop.order.made"}}
    one = version(1, image=made.image, digest=made.digest)
    operator.write(body(None, one, triggers=[trigger]))
    serving(operator, namespace)
    assert operator.condition(namespace, "orders", "TriggersReady")[0] == "True"
    service = operator.cluster.get(CORE_SERVICE, "knative-eventing", "broker-ingress")
    assert service is not None
    address = f"http://{service['spec']['clusterIP']}/{namespace}/default"

    def sent(kind: str, order: int) -> bool:
        event = {"ce-id": str(order), "ce-source": "shop", "ce-type": kind, "ce-specversion": "1.0"}
        return httpx.post(address, json={"order": order}, headers=event, timeout=60).status_code == 202

    # Ready or not, the channel behind the broker learns of its subscribers a moment later.
    until(lambda: sent("shop.order.lost", 41), 60)
    # What the broker makes of the function's answer is another matter than whether the event reaches it.
    sent("shop.order.made", 42)

    until(lambda: "came: 42" in operator.logs(namespace), 60)
    assert "came: 41" not in operator.logs(namespace)


@pytest.mark.usefixtures("routed")
def test_a_domain_of_ones_own_leads_to_the_function(
    operator: ClusterOperator, namespace: str, body: Body
) -> None:
    domain = f"orders.{namespace}.example.com"
    operator.write(body({1: 100}, domains=[domain]))
    serving(operator, namespace)
    assert operator.condition(namespace, "orders", "DomainsReady")[0] == "True"
    answer = httpx.post("http://198.18.255.1:8080/", json=None, headers={"Host": domain}, timeout=30)
    assert answer.json() == {"version": 1}
    # Without a domain it is no host of the public listener.
    closed = f"orders.{namespace}.svc.cluster.local"
    assert httpx.post("http://198.18.255.1:8080/", headers={"Host": closed}, timeout=30).status_code == 404


class TestReasons:
    """Why a version does not start is said from its pods, long before Knative's own deadline."""

    def test_an_image_that_is_not_there(self, operator: ClusterOperator, namespace: str, body: Body) -> None:
        missing = version(1, image=f"198.18.255.1:5000/functions/orders@{digest('0')}")
        operator.write(body(None, missing))
        assert "not in the registry" in operator.await_reason(namespace, "orders", "ImageMissing", 30)

    def test_code_that_does_not_load(
        self, operator: ClusterOperator, namespace: str, body: Body, images: ClusterImages
    ) -> None:
        broken = images.push("1 / 0\ndef execute(input, context):\n    return 1\n")
        operator.write(body(None, version(1, image=broken.image, digest=broken.digest)))
        assert "division by zero" in operator.await_reason(namespace, "orders", "ImportFailed", 30)

    def test_more_memory_than_it_may(
        self, operator: ClusterOperator, namespace: str, body: Body, images: ClusterImages
    ) -> None:
        greedy = images.push("held = bytearray(300_000_000)\ndef execute(input, context):\n    return 1\n")
        limits = {"memoryMb": 64, "timeoutMs": 30_000, "concurrency": 1, "instances": 1}
        operator.write(body(None, version(1, image=greedy.image, digest=greedy.digest, limits=limits)))
        operator.await_reason(namespace, "orders", "OutOfMemory", 30)

    def test_a_used_up_quota(
        self, operator: ClusterOperator, namespace: str, body: Body, kubectl: Kubectl
    ) -> None:
        meta, spec = {"name": "small", "namespace": namespace}, {"hard": {"pods": "0"}}
        kubectl.apply([{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": spec}])
        operator.write(body({1: 100}))
        assert "exceeded quota: small" in operator.await_reason(namespace, "orders", "QuotaExceeded", 30)

    def test_a_secret_that_is_missing(
        self, operator: ClusterOperator, namespace: str, body: Body, pushed: Callable[[int], Pushed]
    ) -> None:
        secrets = [{"name": "TOKEN", "secret": "orders-values", "key": "token"}]
        one = version(1, image=pushed(1).image, digest=pushed(1).digest, secrets=secrets)
        operator.write(body(None, one))
        assert "orders-values" in operator.await_reason(namespace, "orders", "ValueMissing", 30)


class TestAdmission:
    """Only what was attested runs."""

    def test_an_image_that_was_not_attested_never_runs(
        self, operator: ClusterOperator, namespace: str, body: Body, pushed: Callable[[int], Pushed]
    ) -> None:
        written = operator.write(body({1: 100}))
        until(lambda: _running(operator, namespace, pushed(1).image), 60)
        written["spec"]["versions"][0]["image"] = pushed(2).image
        operator.cluster.apply(written, "kubectl")
        operator.await_reason(namespace, "orders", "NotAttested")
        assert not _running(operator, namespace, pushed(2).image)
        assert _running(operator, namespace, pushed(1).image)

    def test_an_unsigned_function_makes_nothing(
        self, operator: ClusterOperator, namespace: str, body: Body
    ) -> None:
        operator.cluster.apply(body({1: 100}), "kubectl")
        operator.await_reason(namespace, "orders", "AttestationMissing")
        assert operator.cluster.get(KNATIVE_SERVICE, namespace, "orders") is None

    def test_a_release_for_another_namespace_is_refused(
        self, operator: ClusterOperator, namespace: str, body: Body
    ) -> None:
        operator.write(body({1: 100}), namespace="test-elsewhere")
        operator.await_reason(namespace, "orders", "Moved")

    def test_a_taken_down_version_ends_and_stays_down(
        self, operator: ClusterOperator, namespace: str, body: Body, pushed: Callable[[int], Pushed]
    ) -> None:
        made = body({1: 100})
        operator.write(made)
        until(lambda: _running(operator, namespace, pushed(1).image), 60)
        operator.bury(made["spec"]["function"], pushed(1).digest)
        operator.await_reason(namespace, "orders", "TakenDown")
        until(lambda: operator.cluster.list(REVISION, namespace) == [], 30)
        operator.write(made)
        operator.await_reason(namespace, "orders", "TakenDown")
        assert operator.cluster.get(KNATIVE_SERVICE, namespace, "orders") is None

    def test_a_replayed_release_is_refused_after_the_function_was_deleted(
        self, operator: ClusterOperator, namespace: str, body: Body
    ) -> None:
        first = operator.write(body({1: 100}))
        until(lambda: operator.condition(namespace, "orders", "Admitted")[0] == "True", 30)
        operator.write(body({2: 100}))
        until(lambda: operator.condition(namespace, "orders", "Admitted")[0] == "True", 30)
        operator.cluster.delete(FUNCTION, namespace, "orders")
        until(lambda: operator.cluster.get(FUNCTION, namespace, "orders") is None, 30)
        operator.cluster.apply(first, "kubectl")
        operator.await_reason(namespace, "orders", "Replayed")


def _running(operator: ClusterOperator, namespace: str, image: str) -> bool:
    return any(
        container["image"] == image
        for pod in operator.cluster.list(POD, namespace)
        for container in pod["spec"]["containers"]
    )


def test_deleting_leaves_nothing(operator: ClusterOperator, namespace: str, body: Body) -> None:
    made = body({1: 100})
    operator.write(made)
    until(lambda: operator.cluster.list(REVISION, namespace), 30)
    operator.cluster.delete(FUNCTION, namespace, "orders")
    kinds = (KNATIVE_SERVICE, REVISION, NETWORK_POLICY, FUNCTION)
    until(lambda: not any(operator.cluster.list(kind, namespace) for kind in kinds), 30)
    accounts = operator.cluster.list(SERVICE_ACCOUNT, namespace)
    assert [one["metadata"]["name"] for one in accounts] == ["default"]
    remembered = operator.cluster.get(ADMISSION, "", made["spec"]["function"].replace("_", "-"))
    assert remembered is not None


def test_the_operators_rights_end_where_its_work_does(cluster: Plan, operator: ClusterOperator) -> None:
    assert operator.processes
    limited = connect(str(cluster.state / "credentials" / "operator.kubeconfig"))
    try:
        with pytest.raises(Refused, match="forbidden"):
            limited.list(SECRET, "ingot-system")
        with pytest.raises(Refused, match="forbidden"):
            limited.apply(function_body(), "ingot-operator")
        with pytest.raises(Refused, match="forbidden"):
            limited.delete(ADMISSION, "", "fn-orders")
    finally:
        limited.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda spec: spec["versions"][0].update(percent=90), "add up to 100"),
        (lambda spec: spec["versions"][0].update(image="orders:latest"), "should match"),
        (lambda spec: spec["versions"][0].update(settings={"INGOT_X": "1"}), "INGOT_"),
        (lambda spec: spec["versions"][0].update(settings={"PORT": "1"}), "PORT"),
        (lambda spec: spec["versions"][0].update(minInstances=5), "more than limits.instances"),
        (lambda spec: spec["versions"].append(version(2, 0, tag="v1")), "name of a version already"),
        (
            lambda spec: spec["versions"][0].update(
                settings={"A": "1"}, secrets=[{"name": "A", "secret": "s", "key": "k"}]
            ),
            "a setting and a secret at once",
        ),
        (lambda spec: spec.update(function="orders"), "should match"),
        (lambda spec: spec.update(managedBy="me"), "Unsupported value"),
    ],
)
def test_the_schema_refuses_with_a_sentence(
    operator: ClusterOperator, namespace: str, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    made = function_body()
    made["metadata"] = {"name": "orders", "namespace": namespace}
    change(made["spec"])
    with pytest.raises(Refused, match=words):
        operator.cluster.apply(made, "kubectl")


def test_a_stopped_leader_is_replaced_and_cannot_write_when_it_wakes(
    operator: ClusterOperator, namespace: str, body: Body
) -> None:
    old = operator.processes[0]
    new = operator.start(IDENTITY="second")
    operator.write(body({1: 100}))
    until(lambda: operator.status(namespace, "orders").get("fence"), 30)
    fence = operator.status(namespace, "orders")["fence"]
    old.send_signal(signal.SIGSTOP)
    try:
        until(lambda: _holder(operator) == "second", 30)
        operator.write(body({2: 100}))
        until(lambda: operator.status(namespace, "orders")["fence"] > fence, 30)
    finally:
        old.send_signal(signal.SIGCONT)
    operator.kill(old)
    assert operator.status(namespace, "orders")["fence"] > fence
    until(lambda: operator.condition(namespace, "orders", "Admitted")[0] == "True", 30)
    assert new.poll() is None


def _holder(operator: ClusterOperator) -> str:
    lease = operator.cluster.get(LEASE, "ingot-system", "ingot-operator") or {"spec": {}}
    return str(lease["spec"].get("holderIdentity", ""))


@pytest.mark.slow
@pytest.mark.usefixtures("routed")
def test_no_call_fails_over_releases_and_rollbacks(
    operator: ClusterOperator, namespace: str, body: Body, record_property: Callable[[str, Any], None]
) -> None:
    operator.write(body({1: 100}))
    serving(operator, namespace)
    bad: list[str] = []
    good = 0
    stop = threading.Event()

    def keep_calling() -> None:
        nonlocal good
        while not stop.is_set():
            try:
                answer = call(namespace, "orders")
            except OSError as error:
                bad.append(str(error))
                continue
            if answer.status_code == 200:
                good += 1
            else:
                bad.append(f"{answer.status_code} {answer.text[:200]}")

    caller = threading.Thread(target=keep_calling)
    caller.start()
    times = []
    try:
        for turn in range(10):
            began = time.monotonic()
            # Every second one goes back to a version that is there.
            number = 1 if turn % 2 else turn + 2
            operator.write(body({number: 100}))
            serving(operator, namespace)
            times.append(time.monotonic() - began)
    finally:
        stop.set()
        caller.join(60)
    record_property("calls", good)
    record_property("seconds until Ready", [round(one, 2) for one in sorted(times)])
    assert bad == []
    assert good > 20


@pytest.mark.slow
def test_killing_the_operator_again_and_again_loses_nothing(
    operator: ClusterOperator, namespace: str, body: Body, pushed: Callable[[int], Pushed]
) -> None:
    names = [f"f{number}" for number in range(8)]
    pushed(1), pushed(2)
    for round_ in range(4):
        for name in names:
            if round_ == 3 and name in names[:4]:
                operator.cluster.delete(FUNCTION, namespace, name)
            else:
                operator.write(body({1 + round_ % 2: 100}, name=name))
        operator.kill(operator.processes[-1])
        operator.start()
    kept = names[4:]
    until(
        lambda: all(operator.condition(namespace, name, "Admitted")[0] == "True" for name in kept),
        120,
        operator.text()[-3000:],
    )
    wanted = {pushed(2).image}

    def converged() -> bool:
        services = operator.cluster.list(KNATIVE_SERVICE, namespace)
        return {one["metadata"]["name"] for one in services} == set(kept) and {
            one["spec"]["template"]["spec"]["containers"][0]["image"] for one in services
        } == wanted

    until(converged, 120)
