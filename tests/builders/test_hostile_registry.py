"""A registry that breaks off, lies, stalls or redirects: the client ends with the truth, and in time."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.oci import MANIFEST, canonical
from builders.registry.access import Access, Patience
from builders.registry.client import Registry, Stored
from builders.registry.conversation import Conversation
from builders.registry.names import digest_of
from builders.registry.sources import of_bytes
from tests.support.fake_registry import FakeRegistry, Fault, running_fake_registry

_CHUNK = 1 << 12
_FAST = Patience(connect=1.0, transfer=0.5, request=1.0, operation=20.0, attempts=4, retry_after=7.0)


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with running_fake_registry() as running:
        yield running


@contextmanager
def _client(
    fake: FakeRegistry, *, waits: list[float] | None = None, access: Access | None = None
) -> Iterator[Registry]:
    """A client that notes how long it would have waited instead of waiting."""
    chosen = access or Access(fake.address, plain_http=True, patience=_FAST)
    pause: Callable[[float], object] = (lambda _: None) if waits is None else waits.append
    with Conversation(chosen, pause=pause) as conversation:
        yield Registry(conversation, chunk=_CHUNK)


def _code(call: Callable[[], object]) -> str:
    with pytest.raises(BuildError) as caught:
        call()
    return caught.value.code


def _stored(fake: FakeRegistry, content: bytes) -> str:
    digest = digest_of(content)
    fake.blobs.setdefault("r", {})[digest] = content
    return digest


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(fake: FakeRegistry, status: int) -> None:
    digest = _stored(fake, b"content")
    fake.faults.append(Fault("GET", "/blobs/", times=2, status=status))
    with _client(fake) as registry:
        assert registry.blob(registry.repository("r"), digest, 100) == b"content"
    assert fake.count("GET", "/blobs/") == 3


def test_what_fails_for_good_ends_after_its_attempts(fake: FakeRegistry) -> None:
    fake.faults.append(Fault("HEAD", times=99, status=503))
    waits: list[float] = []
    with _client(fake, waits=waits) as registry:
        assert (
            _code(lambda: registry.has_blob(registry.repository("r"), digest_of(b"")))
            == "registry_unreachable"
        )
    assert fake.count("HEAD") == 4
    assert waits == sorted(waits), "each wait is longer"


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [("3", 3, 3), ("3600", 7, 7), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("soon", 0.1, 0.2)],
)
def test_retry_after_is_obeyed_within_reason(
    fake: FakeRegistry, asked: str, least: float, most: float
) -> None:
    fake.faults.append(Fault("HEAD", status=429, headers={"Retry-After": asked}))
    waits: list[float] = []
    with _client(fake, waits=waits) as registry:
        registry.has_blob(registry.repository("r"), digest_of(b""))
    assert len(waits) == 1
    assert least <= waits[0] <= most


def test_a_wait_that_would_end_too_late_is_not_begun(fake: FakeRegistry) -> None:
    fake.faults.append(Fault("HEAD", times=99, status=429, headers={"Retry-After": "6"}))
    access = Access(fake.address, plain_http=True, patience=Patience(operation=5.0, attempts=4))
    waits: list[float] = []
    with _client(fake, waits=waits, access=access) as registry:
        assert (
            _code(lambda: registry.has_blob(registry.repository("r"), digest_of(b"")))
            == "registry_unreachable"
        )
    assert waits == []


def test_a_short_read_is_no_content(fake: FakeRegistry) -> None:
    digest = _stored(fake, os.urandom(5000))
    fake.faults.append(Fault("GET", "/blobs/", cut=True))
    with _client(fake) as registry:
        stream = io.BytesIO()
        registry.blob_to(registry.repository("r"), digest, 5000, stream)
        assert digest_of(stream.getvalue()) == digest
        fake.faults.append(Fault("GET", "/blobs/", times=99, cut=True))
        assert _code(lambda: registry.blob(registry.repository("r"), digest, 5000)) == "registry_unreachable"


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET", corrupt=True),
        Fault("GET", flood=50_000_000),
        Fault("GET", headers={"Content-Encoding": "gzip"}),
    ],
)
def test_a_lie_about_a_blob_is_found_out(fake: FakeRegistry, fault: Fault) -> None:
    digest = _stored(fake, os.urandom(500))
    fake.faults.append(fault)
    with _client(fake) as registry:
        assert _code(lambda: registry.blob(registry.repository("r"), digest, 500)) == "registry_corrupt"


@pytest.mark.parametrize(
    "fault",
    [Fault("GET", corrupt=True), Fault("GET", headers={"Docker-Content-Digest": "sha256:" + "0" * 64})],
)
def test_a_lie_about_a_manifest_is_found_out(fake: FakeRegistry, fault: Fault) -> None:
    content = canonical({"schemaVersion": 2})
    fake.manifests["r"] = {digest_of(content): (MANIFEST, content)}
    fake.faults.append(fault)
    with _client(fake) as registry:
        assert (
            _code(lambda: registry.manifest(registry.repository("r"), digest_of(content)))
            == "registry_corrupt"
        )


@pytest.mark.parametrize("content", [b"", b"[]", b"nonsense", b'"text"', b"[" * 100_000])
def test_a_manifest_that_is_none_is_refused(fake: FakeRegistry, content: bytes) -> None:
    fake.manifests["r"] = {digest_of(content): (MANIFEST, content)}
    with _client(fake) as registry:
        assert (
            _code(lambda: registry.manifest(registry.repository("r"), digest_of(content)))
            == "registry_corrupt"
        )


def test_an_endless_manifest_is_cut_off(fake: FakeRegistry) -> None:
    fake.faults.append(Fault("GET", flood=9_000_000))
    content = b"{}"
    fake.manifests["r"] = {digest_of(content): (MANIFEST, content)}
    with _client(fake) as registry:
        assert (
            _code(lambda: registry.manifest(registry.repository("r"), digest_of(content)))
            == "registry_corrupt"
        )


def test_a_drip_of_bytes_ends_with_the_request(fake: FakeRegistry) -> None:
    """Each byte comes within the time for a read, and the whole would take for ever."""
    digest = _stored(fake, os.urandom(10_000))
    fake.faults.append(Fault("GET", times=99, drip=True))
    access = Access(fake.address, plain_http=True, patience=Patience(request=0.4, attempts=2))
    with _client(fake, access=access) as registry:
        assert (
            _code(lambda: registry.blob(registry.repository("r"), digest, 10_000)) == "registry_unreachable"
        )


def test_nobody_listening_is_unreachable() -> None:
    access = Access("127.0.0.1:1", plain_http=True, patience=_FAST)
    with Conversation(access, pause=lambda _: None) as conversation:
        registry = Registry(conversation)
        assert (
            _code(lambda: registry.has_blob(registry.repository("r"), digest_of(b"")))
            == "registry_unreachable"
        )


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
def test_a_broken_upload_goes_on(fake: FakeRegistry, method: str, when: str) -> None:
    content = os.urandom(10 * _CHUNK + 7)
    fake.faults.append(Fault(method, "/uploads/", times=2, hang_up=when))
    with _client(fake) as registry:
        repository = registry.repository("r")
        registry.put_blob(repository, of_bytes(content))
        assert registry.blob(repository, digest_of(content), len(content)) == content


def test_a_chunk_that_arrived_is_not_sent_again(fake: FakeRegistry) -> None:
    content = os.urandom(10 * _CHUNK + 7)
    fake.faults.append(Fault("PATCH", times=1, hang_up="after"))
    with _client(fake) as registry:
        registry.put_blob(registry.repository("r"), of_bytes(content))
    assert fake.count("PATCH") == 10
    assert fake.count("GET", "/uploads/") == 1


def test_a_forgotten_upload_begins_anew(fake: FakeRegistry) -> None:
    content = os.urandom(10 * _CHUNK)
    fake.faults.append(Fault("PUT", forget=True))
    with _client(fake) as registry:
        registry.put_blob(registry.repository("r"), of_bytes(content))
        assert registry.has_blob(registry.repository("r"), digest_of(content))
        fake.faults.append(Fault("PUT", times=99, forget=True))
        other = of_bytes(os.urandom(100))
        assert _code(lambda: registry.put_blob(registry.repository("r"), other)) == "registry_unreachable"


def test_a_registry_that_stores_something_else_is_found_out(fake: FakeRegistry) -> None:
    wrong = {"Docker-Content-Digest": "sha256:" + "1" * 64}
    with _client(fake) as registry:
        repository = registry.repository("r")
        fake.faults.append(Fault("PUT", "/uploads/", headers=wrong))
        assert _code(lambda: registry.put_blob(repository, of_bytes(b"one"))) == "registry_corrupt"
        fake.faults.append(Fault("PUT", "/manifests/", headers=wrong))
        stored = Stored(MANIFEST, canonical({"schemaVersion": 2}))
        assert _code(lambda: registry.put_manifest(repository, stored.digest, stored)) == "registry_corrupt"


def test_a_content_behind_a_redirect_comes_without_the_password(fake: FakeRegistry) -> None:
    digest = _stored(fake, b"content")
    with running_fake_registry(FakeRegistry()) as storage:
        storage.blobs["r"] = {digest: b"content"}
        fake.auth = "basic"
        there = {"Location": f"http://{storage.address}/storage/r/{digest}"}
        access = Access(fake.address, plain_http=True, username="robot", password="secret", patience=_FAST)
        with _client(fake, access=access) as registry:
            assert registry.has_blob(registry.repository("r"), digest), "the challenge is answered by now"
            fake.faults.append(Fault("GET", "/blobs/", status=307, headers=there))
            assert registry.blob(registry.repository("r"), digest, 100) == b"content"
        assert storage.seen == [("GET", f"/storage/r/{digest}", False)]
    assert fake.seen[-1][2], "the registry itself was given it"


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://user:pw@127.0.0.1/", "http://["]
)
def test_a_redirect_to_an_odd_place_is_refused(fake: FakeRegistry, place: str) -> None:
    fake.faults.append(Fault("GET", status=307, headers={"Location": place}))
    with _client(fake) as registry:
        assert _code(lambda: registry.blob(registry.repository("r"), digest_of(b""), 1)) == "registry_refused"


def test_redirects_end(fake: FakeRegistry) -> None:
    fake.faults.append(
        Fault("GET", times=99, status=302, headers={"Location": "/v2/r/blobs/" + digest_of(b"")})
    )
    with _client(fake) as registry:
        assert (
            _code(lambda: registry.blob(registry.repository("r"), digest_of(b""), 1))
            == "registry_unreachable"
        )
    assert fake.count("GET") == 5


def test_an_upload_is_not_sent_out_of_tls(fake: FakeRegistry) -> None:
    """With TLS, neither a Location nor a redirect may lead to plain HTTP."""
    with Conversation(Access("registry.example", patience=_FAST)) as conversation:
        assert (
            _code(lambda: conversation.place("https://registry.example/", "http://registry.example/v2/"))
            == "registry_refused"
        )
        assert (
            conversation.place("https://registry.example/", "https://store.example/x")
            == "https://store.example/x"
        )


@pytest.mark.parametrize(
    "realm", ["http://127.0.0.2:9/token", "file:///etc/passwd", "https://u:p@evil.example/"]
)
def test_the_password_is_not_told_to_whoever_the_challenge_names(fake: FakeRegistry, realm: str) -> None:
    fake.faults.append(
        Fault("HEAD", status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'})
    )
    access = Access(fake.address, plain_http=True, username="robot", password="secret", patience=_FAST)
    with _client(fake, access=access) as registry:
        assert (
            _code(lambda: registry.has_blob(registry.repository("r"), digest_of(b""))) == "registry_refused"
        )


def test_a_token_that_ended_early_is_fetched_anew(fake: FakeRegistry) -> None:
    digest = _stored(fake, b"content")
    fake.auth = "bearer"
    access = Access(fake.address, plain_http=True, username="robot", password="secret", patience=_FAST)
    with _client(fake, access=access) as registry:
        assert registry.has_blob(registry.repository("r"), digest)
        fake.tokens.clear()
        assert registry.has_blob(registry.repository("r"), digest)
    assert fake.count("GET", "^/token") == 2


def test_a_list_of_tags_that_leads_elsewhere_or_never_ends_is_left(fake: FakeRegistry) -> None:
    fake.manifests["r"], fake.tags["r"] = {}, {"a": digest_of(b"")}
    with _client(fake) as registry:
        fake.faults.append(Fault("GET", headers={"Link": '<http://127.0.0.2:9/steal>; rel="next"'}))
        assert list(registry.tags(registry.repository("r"))) == ["a"]
        fake.faults.append(Fault("GET", times=5000, headers={"Link": '</v2/r/tags/list?last=>; rel="next"'}))
        assert _code(lambda: list(registry.tags(registry.repository("r")))) == "registry_corrupt"


@pytest.mark.parametrize("said", ["DENIED: no\x1b[31m way", "x" * 5000])
def test_the_registrys_words_are_shown_short_and_plain(fake: FakeRegistry, said: str) -> None:
    from builders.registry.failures import refused

    body = canonical({"errors": [{"code": "DENIED", "message": said}]})
    message = refused("r.example", 403, "a push", body).message
    assert len(message) < 500
    assert "\x1b" not in message


def _certificate(folder: Path) -> Path:
    """Make a certificate for loopback with its key in one file."""
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"),
        *("-keyout", "key.pem", "-out", "ca.pem"),
    ]
    subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=30)
    both = folder / "both.pem"
    both.write_bytes((folder / "ca.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return both


def test_tls_is_spoken_with_the_registrys_own_authority(tmp_path: Path) -> None:
    tls = _certificate(tmp_path)
    with running_fake_registry(FakeRegistry(auth="basic"), tls) as fake:
        digest = _stored(fake, b"content")
        known = Access(
            fake.address,
            username="robot",
            password="secret",
            ca_file=str(tmp_path / "ca.pem"),
            patience=_FAST,
        )
        with _client(fake, access=known) as registry:
            assert registry.blob(registry.repository("r"), digest, 100) == b"content"
            registry.put_blob(registry.repository("r"), of_bytes(os.urandom(3 * _CHUNK)))
        stranger = Access(fake.address, username="robot", password="secret", patience=_FAST)
        with _client(fake, access=stranger) as registry:
            assert (
                _code(lambda: registry.has_blob(registry.repository("r"), digest)) == "registry_unreachable"
            )
    for nothing in (tmp_path / "absent.pem", Path(__file__)):
        with pytest.raises(BuildError, match="no CA certificates"):
            Conversation(Access("registry.example", ca_file=str(nothing)))
