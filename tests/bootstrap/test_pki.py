"""Certificates and keys: made once, renewed in time, each good for one thing."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from knative.bootstrap.pki import LEAVES, ensure_pki
from knative.bootstrap.plan import Plan
from tests.bootstrap.samples import a_plan

_NOW = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Return a plan whose keys are made."""
    found = a_plan(tmp_path)
    ensure_pki(found, _NOW)
    return found


def contents(plan: Plan) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in plan.pki.iterdir()}


def certificate(plan: Plan, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((plan.pki / f"{name}.crt").read_bytes())


def test_every_leaf_is_signed_by_its_own_authority_and_no_other(plan: Plan) -> None:
    authorities = {name: certificate(plan, f"{name}-ca") for name in ("cluster", "front", "etcd")}
    for leaf in LEAVES:
        for name, authority in authorities.items():
            if name == leaf.authority:
                certificate(plan, leaf.name).verify_directly_issued_by(authority)
            else:
                with pytest.raises(ValueError, match=r"Issuer|issuer"):
                    certificate(plan, leaf.name).verify_directly_issued_by(authority)


def test_a_servers_certificate_lets_nobody_call_as_a_client(plan: Plan) -> None:
    for leaf in LEAVES:
        uses = certificate(plan, leaf.name).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert (ExtendedKeyUsageOID.CLIENT_AUTH in uses) == leaf.client
        assert (ExtendedKeyUsageOID.SERVER_AUTH in uses) == bool(leaf.server_names)


def test_nothing_changes_until_it_ends_soon(plan: Plan) -> None:
    before = contents(plan)
    ensure_pki(plan, _NOW + dt.timedelta(days=300))
    assert contents(plan) == before
    ensure_pki(plan, _NOW + dt.timedelta(days=310))
    after = contents(plan)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {f"{leaf.name}.{kind}" for leaf in LEAVES for kind in ("crt", "key")}


@pytest.mark.parametrize("damage", [b"", b"not a key", None])
def test_a_half_written_pair_is_made_anew_alone(plan: Plan, damage: bytes | None) -> None:
    before = contents(plan)
    path = plan.pki / "admin.key"
    path.unlink() if damage is None else path.write_bytes(damage)
    ensure_pki(plan, _NOW)
    after = contents(plan)
    assert {name for name in before if before[name] != after.get(name)} == {"admin.crt", "admin.key"}


def test_a_new_authority_makes_what_it_signs_anew(plan: Plan) -> None:
    (plan.pki / "etcd-ca.crt").unlink()
    ensure_pki(plan, _NOW)
    certificate(plan, "apiserver-etcd").verify_directly_issued_by(certificate(plan, "etcd-ca"))


def test_keys_and_kubeconfigs_are_their_owners_alone(plan: Plan) -> None:
    for path in (*plan.pki.glob("*.key"), *plan.credentials.glob("*.kubeconfig"), plan.pki, plan.credentials):
        assert path.stat().st_mode & 0o077 == 0


def test_a_kubeconfig_carries_all_it_needs(plan: Plan) -> None:
    document = json.loads(plan.kubeconfig.read_bytes())
    assert document["clusters"][0]["cluster"]["server"] == "https://198.18.255.1:6443"
    assert str(plan.state) not in plan.kubeconfig.read_text()
