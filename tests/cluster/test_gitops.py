"""A git repository drives the real cluster with no control plane there, and a function leaves it for good."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from click.testing import CliRunner, Result

from builders.build import Folders
from control_plane.adapters.cluster.attesting import trust_entry
from control_plane.adapters.cluster.exported_functions import attested_function
from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.cli.main import cli
from control_plane.domain.desired import HostState, HostTarget, Limits, ReleaseShare, WantedRelease
from knative.bootstrap.configs import REGISTRY_USER
from knative.bootstrap.kubectl import Kubectl
from knative.bootstrap.plan import REGISTRY, Plan
from operators.kinds import ADMISSION, FUNCTION, KNATIVE_SERVICE, NAMESPACE, TRIGGER
from tests.cluster.function_fixtures import images, operator, routed
from tests.operators.stage import digest
from tests.support.cluster_images import ClusterImages
from tests.support.cluster_operator import ClusterOperator, call
from tests.support.function_file import evidence_of, function_file
from tests.support.function_host import until

__all__ = ["images", "operator", "routed"]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

EXAMPLE = Path(__file__).resolve().parents[2] / "knative" / "gitops"
SAYS = "def execute(input, context):\n    return {{'version': {number}}}\n"


class Repository(NamedTuple):
    """A folder as git keeps it, and how to put releases into it."""

    folder: Path
    trust: Path
    namespace: str
    export: Callable[[int, int], None]
    apply: Callable[[], subprocess.CompletedProcess[str]]
    verify: Callable[..., Result]


@pytest.fixture
def repository(
    cluster: Plan, operator: ClusterOperator, images: ClusterImages, tmp_path: Path
) -> Iterator[Repository]:
    mark = uuid.uuid4().hex[:10]
    namespace, function = f"test-{mark}", f"fn_{mark}"
    signer = Ed25519Signer(uuid.uuid4().bytes * 2)
    name, entry = trust_entry(signer)
    entry |= {"namespaces": ["test-*"], "approvals": 1}
    operator.trust(name, entry)
    trust, folder = tmp_path / "trust.json", tmp_path / "repository"
    trust.write_text(json.dumps({"kind": "ConfigMap", "data": {name: json.dumps(entry)}}))
    # The example itself, with this test's function and namespace in it.
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("README.md", "trust.json"))
    for path in folder.rglob("*.yaml"):
        path.write_text(path.read_text().replace("namespace: shop", f"namespace: {namespace}"))

    def export(number: int, epoch: int) -> None:
        made = images.push(SAYS.format(number=number))
        target = HostTarget(
            id=f"t{mark}{number:06x}", organization="org_test", project=f"prj_{mark}", function=function,
            function_name="orders", version=f"ver_{number}", number=number, digest=made.digest,
            runtime="python3.11", kind="handler", handler="main:execute", layers={},
            limits=Limits(memory_mb=128),
        )  # fmt: skip
        release = WantedRelease(
            function=function, function_name="orders", organization="org_test", project=f"prj_{mark}",
            number=epoch, digest=digest("e"), approvals=1, shares=(ReleaseShare(target.id, 100),),
        )  # fmt: skip
        state = HostState(0, (target,), (release,))
        place = (namespace, "orders")
        body = attested_function(state, place, epoch, image_of=lambda _: made.image, signer=signer)
        (folder / "functions" / "orders.yaml").write_text(yaml.safe_dump(body, sort_keys=False))
        evidence = evidence_of(signer, function, {number: made.digest}, ("rita@acme.example",))
        (folder / "approvals" / "orders.json").write_text(json.dumps(evidence))

    def verify(*more: str) -> Result:
        words = ["release", "verify", str(folder), "--trust", str(trust), *more]
        return CliRunner().invoke(cli, words)

    operator.cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, "kubectl"
    )
    apply = partial(kubectl_run, cluster, "apply", "-k", str(folder))
    yield Repository(folder, trust, namespace, export, apply, verify)
    for body in operator.cluster.list(FUNCTION, namespace):
        operator.cluster.delete(FUNCTION, namespace, body["metadata"]["name"])
    operator.cluster.delete(ADMISSION, "", f"fn-{mark}")
    operator.cluster.delete(NAMESPACE, "", namespace)


def kubectl_run(cluster: Plan, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(cluster.state / "bin" / "kubectl"), "--kubeconfig"]
    command += [str(cluster.state / "credentials" / "admin.kubeconfig"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def applied(repository: Repository) -> None:
    done = repository.apply()
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("routed")
def test_a_repository_drives_the_cluster_and_what_it_may_not_is_refused(
    operator: ClusterOperator, repository: Repository, images: ClusterImages
) -> None:
    space = repository.namespace
    repository.export(1, 10)
    checked = repository.verify()
    assert checked.exit_code == 0, checked.output
    assert "version 1 approved by rita@acme.example" in checked.output
    applied(repository)
    until(lambda: operator.condition(space, "orders")[0] == "True", 120, operator.text()[-3000:])
    assert call(space, "orders").json() == {"version": 1}
    until(lambda: ready(operator, TRIGGER, space, "orders-made"), 60, "the Trigger is ready")

    written = repository.folder / "functions" / "orders.yaml"
    first = written.read_text()
    # Another image under the same attestation.
    written.write_text(first.replace(images.push(SAYS.format(number=1)).image, changed_image(first)))
    assert "NotAttested" in repository.verify().output
    applied(repository)
    operator.await_reason(space, "orders", "NotAttested")
    assert call(space, "orders").json() == {"version": 1}

    # A newer release, and then the older one again.
    repository.export(2, 11)
    applied(repository)
    until(lambda: call(space, "orders").json() == {"version": 2}, 120, operator.text()[-3000:])
    older = repository.folder.parent / "newer.yaml"
    older.write_text(written.read_text())
    written.write_text(first)
    assert "Replayed" in repository.verify("--before", str(older)).output
    applied(repository)
    operator.await_reason(space, "orders", "Replayed")
    assert call(space, "orders").json() == {"version": 2}


def test_a_release_does_not_move_to_another_namespace(
    operator: ClusterOperator, repository: Repository, kubectl: Kubectl
) -> None:
    other = f"{repository.namespace}-b"
    repository.export(1, 10)
    operator.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}}, "kubectl")
    try:
        for path in repository.folder.rglob("*.yaml"):
            path.write_text(
                path.read_text().replace(f"namespace: {repository.namespace}", f"namespace: {other}")
            )
        refused = repository.verify()
        assert (refused.exit_code, "Moved" in refused.output) == (1, True), refused.output
        applied(repository)
        operator.await_reason(other, "orders", "Moved")
        assert operator.cluster.get(KNATIVE_SERVICE, other, "orders") is None
    finally:
        for body in operator.cluster.list(FUNCTION, other):
            operator.cluster.delete(FUNCTION, other, body["metadata"]["name"])
        operator.cluster.delete(NAMESPACE, "", other)


def changed_image(text: str) -> str:
    """Return the image of another digest in the same repository."""
    [image] = [one["image"] for one in yaml.safe_load(text)["spec"]["versions"]]
    return f"{image.partition('@')[0]}@{digest('0')}"


def ready(operator: ClusterOperator, kind: Any, namespace: str, name: str) -> bool:
    body = operator.cluster.get(kind, namespace, name) or {}
    conditions = body.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@pytest.mark.usefixtures("routed")
def test_what_was_ejected_runs_with_nothing_of_ingot(
    cluster: Plan, kubectl: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No operator runs for it, no Function stands for it: Knative alone answers at its own route."""
    cache = cluster.state / "test-images"
    source = b"def execute(input, context):\n    return {'left': context.settings.get('REGION')}\n"
    declared = b'name = "orders"\nruntime = "python3.11"\nsettings = ["REGION"]\n'
    folders = Folders(cache / "blobs", cache / "layers", cache / "cache")
    (tmp_path / "orders.ingot").write_bytes(
        function_file({"ingot.toml": declared, "main.py": source}, folders)
    )
    name = f"test-{uuid.uuid4().hex[:10]}"
    password = json.loads((cluster.state / "credentials" / "passwords.json").read_text())["registry"]
    monkeypatch.setenv("INGOT_REGISTRY_USER", REGISTRY_USER)
    monkeypatch.setenv("INGOT_REGISTRY_PASSWORD", password)
    folder = tmp_path / "ejected"
    words = ["eject", "", str(folder), "--from", str(tmp_path / "orders.ingot"), "--set", "REGION=eu"]
    words += ["--image", f"{REGISTRY}/ejected/orders", "--push", "--plain-http", "--cache", str(cache)]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert {one.name for one in folder.iterdir()} >= {"service.yaml", "image", "README.md", "sbom.json"}
    assert "ingot.dev" not in (folder / "service.yaml").read_text()
    kubectl.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])
    try:
        assert kubectl_run(cluster, "apply", "-n", name, "-f", str(folder / "service.yaml")).returncode == 0
        waited = kubectl_run(
            cluster, "wait", "-n", name, "--for=condition=Ready", "ksvc/orders", "--timeout=55s"
        )
        assert waited.returncode == 0, waited.stderr
        address = kubectl_run(cluster, "get", "ksvc", "-n", name, "orders", "-o", "jsonpath={.status.url}")
        host = address.stdout.partition("://")[2]
        answer = httpx.post("http://198.18.255.1:8080/", json={}, headers={"Host": host}, timeout=60)
        assert (answer.status_code, answer.json()) == (200, {"left": "eu"})
        assert kubectl_run(cluster, "get", "functions", "-n", name, "-o", "name").stdout == ""
    finally:
        kubectl.delete("namespace", name)
