"""WebSocket, HTTP/2 without TLS, gRPC with trailers, TLS by name, and the way to HTTPS."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from control_plane.adapters.gateway.certificate import make_self_signed
from operators.ingress.objects import TlsSecret, read_secret
from tests.gateway.harness import websocket
from tests.ingress.harness import RawBackend, World
from tests.ingress.http2 import STATUS_200, call_grpc, serve_grpc
from tests.ingress.objects import ingress, path, rule, split


@pytest.fixture
def grpc(shared: World) -> Iterator[World]:
    """A gRPC backend and an HTTP/1.1 one."""
    with contextlib.closing(RawBackend(serve_grpc)) as backend:
        shared.serve("grpc", backend.port, kind="h2c")
        yield shared


def test_a_grpc_call_passes_with_its_trailers(grpc: World) -> None:
    grpc.apply(ingress(rule(path(split("grpc")))))
    with grpc.connect() as connection:
        answer = call_grpc(connection, "hello.example.com", b"\0\0\0\0\4ping")
    assert answer.headers.startswith(STATUS_200)
    assert answer.body == b"\0\0\0\0\4ping"
    assert b"grpc-status" in answer.trailers


def test_http_2_reaches_a_backend_that_speaks_http_1(grpc: World) -> None:
    if "one" not in grpc.backends:
        grpc.echo("one")
    grpc.apply(ingress(rule(path(split("one")))))
    with grpc.connect() as connection:
        answer = call_grpc(connection, "hello.example.com", b"ping")
    assert answer.headers.startswith(STATUS_200)
    assert b'"backend": "one"' in answer.body


def test_a_websocket_stays_open_over_changes(shared: World) -> None:
    def serve(connection: object) -> None:
        from tests.gateway.harness import read_request

        request = read_request(connection)  # type: ignore[arg-type]
        assert request is not None
        websocket(request, connection)  # type: ignore[arg-type]

    with contextlib.closing(RawBackend(serve)) as backend:
        shared.serve("ws", backend.port)
        if "one" not in shared.backends:
            shared.echo("one")
        shared.apply(ingress(rule(path(split("ws")))))
        with shared.connect() as connection:
            nonce = base64.b64encode(b"0123456789abcdef")
            connection.sendall(
                b"GET /chat HTTP/1.1\r\nHost: hello.example.com\r\n"
                b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + nonce + b"\r\n\r\n"
            )
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(1)
            wanted = hashlib.sha1(nonce + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            assert head.startswith(b"HTTP/1.1 101 ")
            assert base64.b64encode(wanted) in head
            shared.apply(ingress(rule(path(split("one")))))
            connection.sendall(b"still there")
            assert connection.recv(100) == b"still there"
        assert shared.call().backend == "one"


def a_secret(*names: str) -> tuple[TlsSecret, bytes]:
    """Return a Secret as it is read, and its certificate as a caller sees it."""
    pem = make_self_signed(names, 30, datetime.now(UTC))
    end = "-----END CERTIFICATE-----\n"
    chain, _, key = pem.partition(end)
    data = {
        "tls.crt": base64.b64encode((chain + end).encode()).decode(),
        "tls.key": base64.b64encode(key.encode()).decode(),
    }
    der = x509.load_pem_x509_certificate((chain + end).encode()).public_bytes(Encoding.DER)
    return read_secret({"data": data}), der


def with_tls(*hosts: str, secret: str = "cert", **fields: object) -> dict[str, object]:
    return {"tls": [{"hosts": list(hosts), "secretName": secret}], **fields}


@pytest.fixture
def secured(world: World) -> World:
    """Two backends."""
    world.echo("one")
    return world


def test_a_certificate_is_shown_for_its_host_and_changes_without_a_reload(secured: World) -> None:
    secured.secrets["fn/cert"], first = a_secret("hello.example.com")
    made = ingress(rule(path(split("one"))), **with_tls("hello.example.com"))
    secured.apply()
    assert not secured.apply(made).reloaded
    reply, shown = secured.call_tls("hello.example.com")
    assert (reply.backend, shown) == ("one", first)
    assert reply.got("x-forwarded-proto") == "https"
    # The host of nobody's certificate gets the default one.
    assert secured.call_tls("other.example.com")[1] not in {b"", first}
    secured.secrets["fn/cert"], second = a_secret("hello.example.com")
    assert not secured.apply().reloaded
    assert secured.call_tls("hello.example.com")[1] == second
    secured.proxy.forget()
    assert secured.apply().reloaded
    assert secured.call_tls("hello.example.com")[1] == second
    assert not secured.apply(ingress(rule(path(split("one"))), generation=2)).reloaded
    assert secured.call_tls("hello.example.com")[1] not in {b"", first, second}
    kept = {each.name for each in secured.settings.data_folder.glob("*.pem")}
    assert kept == {"default.pem"}


def test_http_2_is_offered_by_name(secured: World) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(secured.connect("public-tls"), server_hostname="x.example.com") as connection:
        assert connection.selected_alpn_protocol() == "h2"


def test_nobody_shows_a_certificate_for_anothers_host(secured: World) -> None:
    secured.secrets["fn/cert"], owners = a_secret("hello.example.com")
    secured.secrets["evil/cert"], _ = a_secret("hello.example.com")
    owner = ingress(rule(path(split("one"))), **with_tls("hello.example.com"))
    thief = ingress(
        rule(path(split("one")), host="evil.example.com"),
        name="evil",
        created="2026-02-01T00:00:00Z",
        tls=[{"hosts": ["hello.example.com"], "secretName": "cert", "secretNamespace": "evil"}],
    )
    secured.apply(owner, thief)
    assert secured.call_tls("hello.example.com")[1] == owners
    assert len(secured.desired.certificates) == 1


def test_a_certificate_that_haproxy_refuses_keeps_nobody_else_waiting(secured: World) -> None:
    good, shown = a_secret("good.example.com")
    secured.secrets["fn/good"], secured.secrets["fn/bad"] = good, TlsSecret(pem="no certificate\n")
    bad = ingress(rule(path(split("one")), host="bad.example.com"), name="bad", **with_tls(secret="bad"))
    fine = ingress(
        rule(path(split("one")), host="good.example.com"), **with_tls("good.example.com", secret="good")
    )
    assert not secured.apply(bad, fine).reloaded
    secured.apply()
    pending = secured.verdict("fn/bad").pending
    assert pending is not None
    assert pending.reason == "CertificateNotUsable"
    assert secured.verdict().pending is None
    assert secured.call_tls("good.example.com")[1] == shown
    secured.proxy.forget()
    assert secured.apply().reloaded
    assert secured.call_tls("good.example.com")[1] == shown


def test_a_secret_that_is_missing_or_broken_is_said(secured: World) -> None:
    made = ingress(rule(path(split("one"))), **with_tls("hello.example.com"))
    secured.apply(made)
    pending = secured.verdict().pending
    assert pending is not None
    assert (pending.reason, pending.final) == ("CertificateNotUsable", False)
    one, _ = a_secret("a.example.com")
    assert not one.problem
    for data in ({}, {"tls.crt": "!", "tls.key": "!"}, {"tls.crt": "", "tls.key": ""}):
        assert read_secret({"data": data}).problem


def test_plain_calls_are_sent_to_https_when_the_rules_say_so(secured: World) -> None:
    secured.secrets["fn/cert"], _ = a_secret("hello.example.com")
    local = rule(path(split("one")), host="hello.fn", local=True)
    secured.apply(
        ingress(rule(path(split("one"))), local, **with_tls("hello.example.com", httpOption="Redirected"))
    )
    reply = secured.call("/a?b=c")
    assert (reply.status, reply.headers["location"]) == (301, "https://hello.example.com/a?b=c")
    assert secured.call_tls("hello.example.com")[0].backend == "one"
    assert secured.call(host="hello.fn", table="private").backend == "one"
