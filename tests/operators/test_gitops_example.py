"""The GitOps example is one that a cluster admits: verified as its own CI would, and kept fresh.

`python -m tests.operators.test_gitops_example` writes its signed files anew; the key is this test's alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from control_plane.adapters.cluster.attesting import trust_entry
from control_plane.adapters.cluster.exported_functions import attested_function
from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.cli.main import cli
from control_plane.domain.desired import HostState, HostTarget, ReleaseShare, WantedRelease
from tests.operators.stage import digest
from tests.support.function_file import evidence_of

FOLDER = Path(__file__).resolve().parents[2] / "knative" / "gitops"
# No installation has it: whoever trusted the example would trust everybody who reads this.
SIGNER = Ed25519Signer(b"the key of the GitOps example...")
FUNCTION = "fn_01hx0000000000000000000000"


def resource(epoch: int = 12, namespace: str = "shop", letter: str = "1") -> dict[str, Any]:
    """Return the example's Function as an export of such a release writes it."""
    target = HostTarget(
        id="t0123456789abcdef",
        organization="org_01hx0000000000000000000000",
        project="prj_01hx0000000000000000000000",
        function=FUNCTION,
        function_name="orders",
        version="ver_01hx0000000000000000000000",
        number=7,
        digest=digest(letter),
        runtime="python3.11",
        kind="handler",
        handler="main:execute",
        layers={},
        settings={"REGION": "eu"},
    )
    release = WantedRelease(
        function=FUNCTION,
        function_name="orders",
        organization=target.organization,
        project=target.project,
        number=epoch,
        digest=digest("e"),
        approvals=1,
        shares=(ReleaseShare(target.id, 100),),
    )
    return attested_function(
        HostState(0, (target,), (release,)),
        (namespace, "orders"),
        epoch,
        image_of=lambda _: f"registry.example/functions/org_01hx@{digest('a')}",
        signer=SIGNER,
    )


def approvals(*people: str) -> dict[str, object]:
    return evidence_of(SIGNER, FUNCTION, {7: digest("1")}, people)


def trust(**fields: Any) -> dict[str, Any]:
    name, entry = trust_entry(SIGNER)
    entry |= {"namespaces": ["shop"], "approvals": 1} | fields
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "ingot-trust", "namespace": "ingot-system"},
        "data": {name: json.dumps(entry, sort_keys=True)},
    }


def files() -> dict[str, str]:
    """Return the example's signed files."""
    return {
        "functions/orders.yaml": str(yaml.safe_dump(resource(), sort_keys=False, width=110)),
        "approvals/orders.json": json.dumps(approvals("rita@acme.example"), indent=2, sort_keys=True) + "\n",
        "trust.json": json.dumps(trust(), indent=2) + "\n",
    }


@pytest.mark.parametrize("name", sorted(files()))
def test_the_signed_files_are_fresh(name: str) -> None:
    assert (FOLDER / name).read_text() == files()[name], "run: python -m tests.operators.test_gitops_example"


def test_the_kustomization_names_every_manifest_and_nothing_else() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    there = [f"{one.parent.name}/{one.name}" for one in FOLDER.glob("*/*.yaml")]
    assert sorted(listed) == sorted(there)


def verify(*words: str) -> Result:
    return CliRunner().invoke(cli, ["release", "verify", *words])


def test_its_own_check_lets_it_through() -> None:
    done = verify(str(FOLDER), "--trust", str(FOLDER / "trust.json"), "-o", "json")
    assert done.exit_code == 0, done.output
    found = {row["what"]: row for row in json.loads(done.output)}
    assert found["shop/orders"]["approved_by"] == {"7": ["rita@acme.example"]}
    assert found["approvals of acme/orders"]["verdict"] == "fine"


def _spec(change: Callable[[dict[str, Any]], None]) -> Callable[[], dict[str, Any]]:
    def made() -> dict[str, Any]:
        body = resource()
        change(body)
        return body

    return made


REFUSED: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "another image": (
        _spec(lambda body: body["spec"]["versions"][0].update(image=f"r.example/x@{digest('b')}")),
        "NotAttested",
    ),
    "another setting": (
        _spec(lambda body: body["spec"]["versions"][0].update(settings={"REGION": "us"})),
        "NotAttested",
    ),
    "another namespace that is trusted": (
        _spec(lambda body: body["metadata"].update(namespace="shop-b")),
        "Moved",
    ),
    "a namespace that nobody trusts": (
        _spec(lambda body: body["metadata"].update(namespace="bank")),
        "NotTrusted",
    ),
    "no attestation": (_spec(lambda body: body["spec"].pop("attestation")), "AttestationMissing"),
    "half an attestation": (
        _spec(lambda body: body["spec"]["attestation"].pop("signatures")),
        "AttestationMalformed",
    ),
    "nothing that a Function has": (_spec(lambda body: body.update(spec={})), "Malformed"),
    "a version that nobody approved": (lambda: resource(letter="2"), "Unreviewed"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_a_cluster_would_refuse_ends_with_1(tmp_path: Path, case: str) -> None:
    make, reason = REFUSED[case]
    (tmp_path / "f.yaml").write_text(yaml.safe_dump(make()))
    (tmp_path / "a.json").write_text(json.dumps(approvals("rita@acme.example")))
    (tmp_path / "trust").write_text(json.dumps(trust(namespaces=["shop", "shop-*"])))
    done = verify(str(tmp_path / "f.yaml"), str(tmp_path / "a.json"), "--trust", str(tmp_path / "trust"))
    assert done.exit_code == 1, done.output
    assert reason in done.output


def test_approvals_are_counted_by_person_and_signature(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(yaml.safe_dump(resource()))
    (tmp_path / "trust").write_text(json.dumps(trust()))

    def exit_code(document: Any, *more: str) -> int:
        (tmp_path / "a.json").write_text(json.dumps(document))
        words = [str(tmp_path / "f.yaml"), str(tmp_path / "a.json"), "--trust", str(tmp_path / "trust")]
        return verify(*words, *more).exit_code

    assert exit_code(approvals("rita@acme.example")) == 0
    assert exit_code(approvals("rita@acme.example"), "--approvals", "2") == 1
    assert exit_code(approvals("rita@acme.example", "omar@acme.example"), "--approvals", "2") == 0
    assert exit_code(approvals("rita@acme.example", "RITA@acme.example"), "--approvals", "2") == 1
    assert exit_code(approvals()) == 1
    forged = approvals("rita@acme.example") | {"signatures": [{"keyid": "x", "sig": "AAAA"}]}
    assert exit_code(forged) == 1
    other = evidence_of(Ed25519Signer(bytes(32)), FUNCTION, {7: digest("1")}, ("rita@acme.example",))
    assert exit_code(other) == 1
    elsewhere = evidence_of(SIGNER, "fn_other", {7: digest("1")}, ("rita@acme.example",))
    assert exit_code(elsewhere) == 1


def test_an_older_release_than_before_is_a_replay(tmp_path: Path) -> None:
    (tmp_path / "before.yaml").write_text(yaml.safe_dump(resource(epoch=13)))
    words = [str(FOLDER), "--trust", str(FOLDER / "trust.json"), "--before"]
    assert "Replayed" in verify(*words, str(tmp_path / "before.yaml")).output
    (tmp_path / "before.yaml").write_text(yaml.safe_dump(resource(epoch=11)))
    assert verify(*words, str(tmp_path / "before.yaml")).exit_code == 0
    assert verify(*words, str(FOLDER)).exit_code == 0


def test_what_is_no_repository_is_said(tmp_path: Path) -> None:
    trusted = str(FOLDER / "trust.json")
    assert verify(str(FOLDER / "triggers"), "--trust", trusted).exit_code == 4
    bomb = tmp_path / "bomb.yaml"
    bomb.write_text("a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n")
    assert "aliases" in verify(str(bomb), "--trust", trusted).output
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    assert verify(str(broken), "--trust", trusted).exit_code == 1
    assert verify(str(FOLDER), "--trust", str(broken)).exit_code == 1
    (tmp_path / "t.json").write_text(json.dumps({"data": {"k": json.dumps({"key": "x", "more": 1})}}))
    assert verify(str(FOLDER), "--trust", str(tmp_path / "t.json")).exit_code == 1


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text)
