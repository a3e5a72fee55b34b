"""HTTPS at both origins with one's own certificate, replaced while connections are open."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control_plane.adapters.gateway.certificate import (
    Certificate,
    keep_certificate,
    make_self_signed,
    read_certificate,
    serve_certificate,
)
from control_plane.adapters.gateway.config import render_config
from control_plane.adapters.gateway.model import GatewaySettings
from control_plane.errors import Invalid, Unavailable
from tests.gateway.harness import SECRET, Reply, World, a_world, read_reply
from tests.gateway.test_config import compare

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def certificate(folder: Path, name: str, days: int = 3650) -> Certificate:
    path = folder / f"{name}.pem"
    path.write_text(make_self_signed((name, "127.0.0.1"), days, datetime.now(UTC)))
    return read_certificate(path)


@pytest.fixture
def first(tmp_path: Path) -> Certificate:
    return certificate(tmp_path, "first.example")


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory, first: Certificate) -> Iterator[World]:
    https = {"tls": True, "console_scheme": "https", "functions_scheme": "https"}
    with a_world(tmp_path_factory.mktemp("g"), **https) as made:
        keep_certificate(made.settings, first)
        made.start()
        yield made


class Connection:
    """One TLS connection that trusts one certificate."""

    def __init__(self, listener: socket.socket, trusted: Certificate) -> None:
        context = ssl.create_default_context(cadata=trusted.pem.partition("-----BEGIN PRIVATE")[0])
        self.raw = socket.create_connection(listener.getsockname(), timeout=10)
        self.tls = context.wrap_socket(self.raw, server_hostname=trusted.names[0])

    def get(self, path: str) -> Reply:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {SECRET}\r\nContent-Length: 0\r\n\r\n"
        self.tls.sendall(head.encode())
        return read_reply(self.tls)

    def close(self) -> None:
        self.tls.close()


def test_the_config_with_tls_is_the_golden_one() -> None:
    settings = GatewaySettings(
        run_folder=Path("/run/ingot"),
        data_folder=Path("/data/gateway"),
        tls=True,
        console_scheme="https",
        functions_scheme="https",
    )
    compare("haproxy-tls.cfg", render_config(settings))


def test_both_origins_speak_tls_alone(world: World, first: Certificate) -> None:
    for listener in (world.console, world.functions):
        connection = Connection(listener, first)
        assert connection.tls.version() in {"TLSv1.2", "TLSv1.3"}
        assert connection.get("/nothing").status in {404, 503}
        connection.close()
        with socket.create_connection(listener.getsockname(), timeout=10) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"HTTP/1.1 2" not in plain.recv(100)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(world.console.getsockname(), timeout=10) as raw,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(raw)


def test_another_certificate_comes_without_dropping_a_connection(
    world: World, first: Certificate, tmp_path: Path
) -> None:
    pid = world.gateway._process()
    kept = Connection(world.functions, first)
    assert kept.get("/acme/orders").status == 404
    for number in range(3):
        second = certificate(tmp_path, f"number{number}.example")
        assert serve_certificate(world.settings, second)
        keep_certificate(world.settings, second)
        fresh = Connection(world.functions, second)
        assert fresh.get("/acme/orders").status == 404
        fresh.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            Connection(world.functions, first)
        assert kept.get("/acme/orders").status == 404
    kept.close()
    assert world.gateway._process() == pid


def test_a_refused_certificate_leaves_the_old_one(world: World, first: Certificate) -> None:
    broken = Certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "", (), NOW, NOW)
    with pytest.raises(Unavailable, match="refused the certificate"):
        serve_certificate(world.settings, broken)
    connection = Connection(world.functions, first)
    assert connection.get("/acme/orders").status == 404
    connection.close()


def test_without_a_gateway_only_the_file_changes(tmp_path: Path, first: Certificate) -> None:
    settings = GatewaySettings(run_folder=tmp_path, data_folder=tmp_path, tls=True)
    assert not serve_certificate(settings, first)
    keep_certificate(settings, first)
    assert settings.certificate_file.stat().st_mode & 0o777 == 0o600
    assert read_certificate(settings.certificate_file) == first


def test_a_certificate_and_its_key_may_lie_apart_and_must_belong_together(tmp_path: Path) -> None:
    pem = make_self_signed(("a.example",), 30, NOW)
    begin = pem.index("-----BEGIN PRIVATE KEY")
    (tmp_path / "cert.pem").write_text(pem[:begin])
    (tmp_path / "key.pem").write_text(pem[begin:])
    found = read_certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
    assert found.names == ("a.example",)
    assert found.days_left(NOW) == 30
    assert found.days_left(NOW + timedelta(days=31)) == -1
    (tmp_path / "other.pem").write_text(make_self_signed(("b.example",), 30, NOW))
    with pytest.raises(Invalid, match="not the certificate's in /"):
        read_certificate(tmp_path / "cert.pem", tmp_path / "other.pem")
    with pytest.raises(Invalid, match="unencrypted private key"):
        read_certificate(tmp_path / "cert.pem")
    with pytest.raises(Invalid, match="cannot be read"):
        read_certificate(tmp_path / "absent.pem")
