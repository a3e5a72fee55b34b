"""Certificates, keys and kubeconfigs of the cluster; made once, renewed before they end.

One authority signs servers and clients, another the API server's own word for
whom it forwards, a third etcd's two sides: a certificate of one counts nowhere else.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from knative.bootstrap.files import write_if_changed
from knative.bootstrap.plan import FIRST_SERVICE, NODE, NODE_ADDRESS, Plan

__all__ = ["API_ADDRESS", "LEAVES", "Leaf", "ensure_pki"]

API_ADDRESS = f"https://{NODE_ADDRESS}:6443"
_DAY = dt.timedelta(days=1)
_AUTHORITY_LIFE, _LEAF_LIFE, _RENEWED_BEFORE = 3_650 * _DAY, 365 * _DAY, 60 * _DAY


@dataclass(frozen=True, slots=True)
class Leaf:
    """One certificate: its file's name, whose it is, who signs it, and what it is for."""

    name: str
    common_name: str
    authority: str = "cluster"
    organization: str = ""
    server_names: tuple[str, ...] = ()
    client: bool = True
    # Whether a kubeconfig is made from it.
    kubeconfig: bool = False


_SERVICE_NAMES = tuple(
    f"kubernetes{suffix}" for suffix in ("", ".default", ".default.svc", ".default.svc.cluster.local")
)

LEAVES = (
    Leaf(
        "apiserver",
        "kube-apiserver",
        server_names=(*_SERVICE_NAMES, "localhost", FIRST_SERVICE, NODE_ADDRESS, "127.0.0.1"),
        client=False,
    ),
    Leaf("apiserver-kubelet", "kube-apiserver-kubelet-client", organization="system:masters"),
    Leaf("front-proxy", "front-proxy-client", authority="front"),
    Leaf(
        "kubelet-server",
        f"system:node:{NODE}",
        organization="system:nodes",
        server_names=(NODE, NODE_ADDRESS),
        client=False,
    ),
    Leaf("etcd", "etcd", authority="etcd", server_names=("localhost", "127.0.0.1")),
    Leaf("apiserver-etcd", "kube-apiserver", authority="etcd"),
    Leaf("admin", "ingot:admin", organization="system:masters", kubeconfig=True),
    Leaf("controller-manager", "system:kube-controller-manager", kubeconfig=True),
    Leaf("scheduler", "system:kube-scheduler", kubeconfig=True),
    Leaf("proxy", "system:kube-proxy", kubeconfig=True),
    Leaf("kubelet", f"system:node:{NODE}", organization="system:nodes", kubeconfig=True),
    Leaf("coredns", "ingot:coredns", kubeconfig=True),
    # What stands between the callers and the functions; its rights are its own manifests'.
    Leaf("gateway", "ingot:gateway", kubeconfig=True),
    # Who writes Knative's objects for Function resources; its rights are its own manifests'.
    Leaf("operator", "ingot:operator", kubeconfig=True),
    # An Ingot on this machine that releases into the cluster; its rights are its own manifests'.
    Leaf("console", "ingot:console", kubeconfig=True),
)


def ensure_pki(plan: Plan, now: dt.datetime) -> None:
    """Make what is missing or ends soon; what is fine stays as it is."""
    for folder in (plan.pki, plan.credentials):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authorities = {name: _authority(plan.pki, name, now) for name in ("cluster", "front", "etcd")}
    _service_account_key(plan.pki)
    for leaf in LEAVES:
        certificate, key = plan.pki / f"{leaf.name}.crt", plan.pki / f"{leaf.name}.key"
        signer = authorities[leaf.authority]
        if not _good(certificate, key, signer[0], now):
            _issue(leaf, certificate, key, signer, now)
        if leaf.kubeconfig:
            _write_kubeconfig(plan, leaf)


_Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _authority(folder: Path, name: str, now: dt.datetime) -> _Signer:
    certificate, key = folder / f"{name}-ca.crt", folder / f"{name}-ca.key"
    if not _good(certificate, key, None, now):
        secret = ec.generate_private_key(ec.SECP256R1())
        subject = _name(f"ingot-{name}-ca", "")
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        made = (
            _builder(subject, subject, secret.public_key(), now, _AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(secret, hashes.SHA256())
        )
        _write_pair(certificate, key, made, secret)
    return _read(certificate), _read_key(key)


def _issue(leaf: Leaf, certificate: Path, key: Path, signer: _Signer, now: dt.datetime) -> None:
    secret = ec.generate_private_key(ec.SECP256R1())
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH] if leaf.client else []
    uses += [ExtendedKeyUsageOID.SERVER_AUTH] if leaf.server_names else []
    builder = (
        _builder(
            _name(leaf.common_name, leaf.organization),
            signer[0].subject,
            secret.public_key(),
            now,
            _LEAF_LIFE,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer[1].public_key()), critical=False
        )
    )
    if leaf.server_names:
        names = x509.SubjectAlternativeName(_alternatives(leaf.server_names))
        builder = builder.add_extension(names, critical=False)
    _write_pair(certificate, key, builder.sign(signer[1], hashes.SHA256()), secret)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: dt.datetime,
    life: dt.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        # A clock that is a little behind must not refuse what was just made.
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _name(common_name: str, organization: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternatives(names: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _good(certificate: Path, key: Path, signer: x509.Certificate | None, now: dt.datetime) -> bool:
    """Say whether a pair is whole, belongs together, and lasts."""
    try:
        found = _read(certificate)
        if _read_key(key).public_key() != found.public_key():
            return False
        if signer is not None:
            found.verify_directly_issued_by(signer)
        return found.not_valid_after_utc - now > _RENEWED_BEFORE
    except Exception:  # noqa: BLE001 - whatever cannot be read is made anew
        return False


def _read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path.name} holds another kind of key")
    return key


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_pair(
    certificate: Path, key: Path, made: x509.Certificate, secret: ec.EllipticCurvePrivateKey
) -> None:
    # The key first: a pair that does not belong together is made anew at the next start.
    write_if_changed(key, _pem(secret), 0o600)
    write_if_changed(certificate, made.public_bytes(serialization.Encoding.PEM), 0o644)


def _service_account_key(folder: Path) -> None:
    """Make the key of service account tokens: RSA, as Kubernetes' clients expect."""
    private, public = folder / "service-accounts.key", folder / "service-accounts.pub"
    if not private.exists():
        write_if_changed(private, _pem(rsa.generate_private_key(65_537, 2_048)), 0o600)
    key = serialization.load_pem_private_key(private.read_bytes(), None)
    encoded = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_if_changed(public, encoded, 0o644)


def _write_kubeconfig(plan: Plan, leaf: Leaf) -> None:
    def encoded(name: str) -> str:
        return base64.b64encode((plan.pki / name).read_bytes()).decode()

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "ingot",
                "cluster": {"server": API_ADDRESS, "certificate-authority-data": encoded("cluster-ca.crt")},
            }
        ],
        "users": [
            {
                "name": leaf.name,
                "user": {
                    "client-certificate-data": encoded(f"{leaf.name}.crt"),
                    "client-key-data": encoded(f"{leaf.name}.key"),
                },
            }
        ],
        "contexts": [{"name": "ingot", "context": {"cluster": "ingot", "user": leaf.name}}],
        "current-context": "ingot",
    }
    path = plan.credentials / f"{leaf.name}.kubeconfig"
    write_if_changed(path, json.dumps(document, indent=1).encode(), 0o600)
