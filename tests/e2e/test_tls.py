"""HTTPS on a whole system: calls verify the certificate; another one comes under load and no call fails."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.system import System, wait_for

pytestmark = pytest.mark.slow

_MAIN = "def execute(input, context):\n    return {'got': input}\n"


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "The test's authority")])
        self._name = name
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = (
            self._builder(name, self._key)
            .add_extension(basic, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self) -> tuple[str, int]:
        """Return a certificate for 127.0.0.1 with its key as PEM, and its serial number."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ingot")])
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        made = (
            self._builder(subject, key).add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return made.public_bytes(serialization.Encoding.PEM).decode() + private.decode(), made.serial_number

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=9))
        )


class Secured:
    """A system that speaks HTTPS with a certificate of the authority, and a function on it."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority()
        trusted = folder / "authority.pem"
        trusted.write_text(self.authority.pem)
        self.certificate = folder / "tls.pem"
        text, self.serial = self.authority.issue()
        self.put(text)
        self.trust = ssl.create_default_context(cafile=str(trusted))
        self.system = System(folder, INGOT_TLS_CERTIFICATE=str(self.certificate))
        self.system.console = self.system.console.replace("http:", "https:")
        self.system.functions = self.system.functions.replace("http:", "https:")

    def put(self, text: str) -> None:
        self.certificate.touch(mode=0o600)
        self.certificate.write_text(text)

    def reload(self) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "control_plane.cli.main",
            "tls",
            "reload",
            "--data",
            str(self.system.data),
        ]
        return subprocess.run(
            command, env=self.system.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def served(self, port: int) -> int:
        """Return the serial number of the certificate that a new, verified connection gets."""
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
            self.trust.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
        ):
            shown = connection.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown).serial_number


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    folder = Path(tempfile.mkdtemp(prefix="ingot-"))
    folder.chmod(0o755)
    made = Secured(folder)
    with pytest.MonkeyPatch.context() as patch:
        # The clients of the support code trust what this names.
        patch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
        try:
            made.system.start()
            made.system.set_up()
            made.system.publish("echo", {"ingot.toml": "", "main.py": _MAIN})
            yield made
        finally:
            made.system.stop()
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Load:
    """Callers that keep their connections, and some that do not, until they are told to stop."""

    secured: Secured
    key: str
    over: threading.Event = field(default_factory=threading.Event)
    good: int = 0
    bad: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, number: int, keep: bool) -> None:
        client = httpx.Client(verify=self.secured.trust, timeout=30)
        try:
            while not self.over.is_set():
                self._once(client, number)
                if not keep:
                    client.close()
                    client = httpx.Client(verify=self.secured.trust, timeout=30)
        finally:
            client.close()

    def _once(self, client: httpx.Client, number: int) -> None:
        try:
            answer = client.post(
                self.secured.system.url("echo"), json={"n": number}, headers={"X-Api-Key": self.key}
            )
            fault = "" if answer.json() == {"got": {"n": number}} else f"{answer.status_code} {answer.text}"
        except (httpx.HTTPError, ValueError) as error:
            fault = repr(error)
        with self._lock:
            self.good += not fault
            self.bad += [fault] if fault else []


def test_another_certificate_comes_under_load_and_a_bad_one_changes_nothing(secured: Secured) -> None:
    system = secured.system
    ports = (system.console_port, system.functions_port)
    key = system.key()
    system.wait_callable("echo", key)
    assert [secured.served(port) for port in ports] == [secured.serial] * 2
    load = Load(secured, key)
    callers = [threading.Thread(target=load.call, args=(number, number < 3)) for number in range(4)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(3):
            more(load)
            text, serial = secured.authority.issue()
            secured.put(text)
            done = secured.reload()
            assert done.returncode == 0, done.stderr
            assert [secured.served(port) for port in ports] == [serial] * 2
            more(load)
        good = secured.certificate.read_text()
        other = secured.authority.issue()[0]
        mismatched = good[: good.index("-----BEGIN PRIVATE")] + other[other.index("-----BEGIN PRIVATE") :]
        for broken in ("nothing of the kind\n", mismatched, good[: good.index("-----BEGIN PRIVATE")]):
            secured.put(broken)
            refused = secured.reload()
            assert refused.returncode != 0
            assert str(secured.certificate) in refused.stderr
            assert "Traceback" not in refused.stderr
            assert [secured.served(port) for port in ports] == [serial] * 2
            more(load)
        secured.put(good)
    finally:
        load.over.set()
        for caller in callers:
            caller.join(60)
    assert load.bad == []
    assert load.good > 100
    assert all(role["restarts"] == 0 for role in system.roles().values())


def more(load: Load) -> None:
    """Wait until the callers have got on."""
    before = load.good
    wait_for(lambda: load.good >= before + 10 or load.bad, 60)


def test_who_does_not_trust_the_authority_gets_no_connection(secured: Secured) -> None:
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for port in (secured.system.console_port, secured.system.functions_port):
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            stranger.wrap_socket(raw, server_hostname="127.0.0.1")
