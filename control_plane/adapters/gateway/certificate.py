"""The gateway's certificate: read and proven, kept in a file of its own, replaced without a reload.

HAProxy knows a certificate by the file's path; the runtime socket puts another
one in its place, and connections that are open go on with the old one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from control_plane.adapters.gateway.model import GatewaySettings
from control_plane.adapters.gateway.runtime_socket import RuntimeSocket
from control_plane.errors import Invalid, Unavailable

__all__ = [
    "Certificate",
    "keep_certificate",
    "make_self_signed",
    "prove_certificate",
    "read_certificate",
    "serve_certificate",
]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its chain and private key."""

    pem: str
    subject: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime

    def days_left(self, now: datetime) -> int:
        """Return whole days until it expires; negative afterwards."""
        return (self.not_after - now).days


def read_certificate(certificate: Path, key: Path | None = None) -> Certificate:
    """Read PEM files and prove that they belong together. Raises Invalid saying what is wrong."""
    try:
        text = certificate.read_text()
        private = (key or certificate).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"The certificate cannot be read: {error}.", field="tls.certificate") from error
    return prove_certificate(text, private, str(certificate))


def prove_certificate(text: str, private: str, named: str) -> Certificate:
    """Prove that a chain and a key in PEM belong together. Raises Invalid saying what is wrong."""
    try:
        chain = x509.load_pem_x509_certificates(text.encode())
        loaded = serialization.load_pem_private_key(private.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Invalid(
            f"{named} does not hold a certificate and an unencrypted private key in PEM: {error}.",
            field="tls.certificate",
            hint="Name the key's file with tls.key when it is another one.",
        ) from error
    own = chain[0]
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if loaded.public_key().public_bytes(*form) != own.public_key().public_bytes(*form):
        raise Invalid(
            f"The private key is not the certificate's in {named}.",
            field="tls.key",
            hint="Name the key that it was made for.",
        )
    return Certificate(
        pem=_joined(chain, loaded),
        subject=own.subject.rfc4514_string(),
        names=_names(own),
        not_before=own.not_valid_before_utc,
        not_after=own.not_valid_after_utc,
    )


def keep_certificate(settings: GatewaySettings, certificate: Certificate) -> None:
    """Write the file that HAProxy starts from; only it and its owner may read it."""
    path = settings.certificate_file
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    with os.fdopen(descriptor, "w") as file:
        file.write(certificate.pem)
        file.flush()
        if settings.control_gid is not None:
            os.fchown(file.fileno(), -1, settings.control_gid)
            os.fchmod(file.fileno(), 0o640)
        os.fsync(file.fileno())
    temporary.replace(path)


def serve_certificate(settings: GatewaySettings, certificate: Certificate) -> bool:
    """Give a running gateway the certificate; no connection notices. False when none runs.

    Raises Unavailable when it refuses; it then goes on with the old one.
    """
    channel, path = RuntimeSocket(settings.admin_socket), settings.certificate_file
    if not channel.running():
        return False
    said = channel.ask(f"set ssl cert {path} <<\n{certificate.pem}")
    answer = channel.ask(f"commit ssl cert {path}") if "Transaction" in said else said
    if "Success!" not in answer:
        channel.ask(f"abort ssl cert {path}")
        raise Unavailable(
            f"The gateway refused the certificate: {' '.join(answer.split())[:300]}",
            hint="The old one still serves.",
        )
    return True


def make_self_signed(names: Iterable[str], days: int, now: datetime) -> str:
    """Return PEM of a certificate for development with its key: nobody but its maker vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    listed = list(dict.fromkeys(names))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, listed[0][:64])])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks of other machines may be behind.
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in listed]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _joined([made], key)


def _joined(chain: list[x509.Certificate], key: object) -> str:
    encoding = serialization.Encoding.PEM
    private: bytes = key.private_bytes(  # type: ignore[attr-defined]  # every kind of private key has it
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # No empty line may be in it: that would end the command on the runtime socket.
    return "".join(one.public_bytes(encoding).decode() for one in chain) + private.decode()


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in found)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
