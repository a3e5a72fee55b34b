"""The Sealer, Passwords, Signer and Anchor ports: adapters and fakes."""

from __future__ import annotations

import base64
import json
import os
import threading
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.adapters.embedded.anchor import Ed25519Signer, FileAnchor
from control_plane.adapters.embedded.passwords import ArgonPasswords
from control_plane.adapters.embedded.secrets import AesSealer
from control_plane.errors import Unavailable
from control_plane.ports import Anchor, Passwords, Sealer, Signer
from tests.support.fakes import FakeAnchor, FakePasswords, FakeSealer, FakeSigner

_QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(params=["aes", "fake"])
def sealer(request: pytest.FixtureRequest) -> Sealer:
    return AesSealer(b"k" * 32) if request.param == "aes" else FakeSealer()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.binary(max_size=100))
def test_only_its_own_tenant_opens_a_value(sealer: Sealer, plain: bytes) -> None:
    sealed = sealer.seal("org_1", plain)
    assert sealer.open("org_1", sealed) == plain
    with pytest.raises(ValueError, match=r"."):
        sealer.open("org_2", sealed)


@pytest.mark.parametrize("place", [0, 10, 40, -5])
def test_a_changed_value_is_refused(sealer: Sealer, place: int) -> None:
    content = bytearray(base64.b64decode(sealer.seal("org_1", b"secret value")))
    content[place] ^= 1
    with pytest.raises(ValueError, match=r"."):
        sealer.open("org_1", base64.b64encode(content).decode())


@pytest.mark.parametrize("text", ["", "!", "e30=", "W10="])
def test_other_texts_are_no_sealed_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        AesSealer(b"k" * 32).open("org_1", text)


def test_the_value_itself_is_nowhere_and_never_sealed_the_same_way_twice() -> None:
    sealer = AesSealer(b"k" * 32)
    one, two = sealer.seal("org_1", b"canary-canary"), sealer.seal("org_1", b"canary-canary")
    assert one != two
    assert b"canary" not in base64.b64decode(one)


def test_another_master_key_does_not_open() -> None:
    sealed = AesSealer(b"k" * 32).seal("org_1", b"x")
    with pytest.raises(ValueError, match="another master key"):
        AesSealer(b"j" * 32).open("org_1", sealed)
    with pytest.raises(ValueError, match="32 bytes"):
        AesSealer(b"short")


@pytest.fixture(params=["argon2", "fake"])
def passwords(request: pytest.FixtureRequest) -> Passwords:
    return ArgonPasswords(hasher=_QUICK) if request.param == "argon2" else FakePasswords()


def test_only_the_password_verifies(passwords: Passwords) -> None:
    stored = passwords.hash("a long sentence")
    assert passwords.verify(stored, "a long sentence")
    assert not passwords.verify(stored, "another sentence")
    assert not passwords.verify("damaged", "a long sentence")


def test_too_many_at_once_are_turned_away() -> None:
    inside, leave = threading.Event(), threading.Event()

    class Slow(PasswordHasher):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            inside.set()
            leave.wait(10)
            return "x"

    passwords = ArgonPasswords(at_once=1, wait_s=0.01, hasher=Slow())
    thread = threading.Thread(target=passwords.hash, args=("x",))
    thread.start()
    inside.wait(10)
    with pytest.raises(Unavailable):
        passwords.verify("x", "y")
    leave.set()
    thread.join(10)


@pytest.fixture(params=["ed25519", "fake"])
def signers(request: pytest.FixtureRequest) -> tuple[Signer, Signer]:
    if request.param == "ed25519":
        return Ed25519Signer(b"1" * 32), Ed25519Signer(b"2" * 32)
    return FakeSigner("1"), FakeSigner("2")


def test_only_its_own_key_proves_a_signature(signers: tuple[Signer, Signer]) -> None:
    one, other = signers
    signature = one.sign(b"message")
    assert one.verify(b"message", signature)
    assert not one.verify(b"massage", signature)
    assert not other.verify(b"message", signature)
    assert not one.verify(b"message", "no base64!")


@pytest.fixture(params=["file", "fake"])
def anchor(request: pytest.FixtureRequest, tmp_path: Path) -> Anchor:
    return FileAnchor(tmp_path / "checkpoints.jsonl") if request.param == "file" else FakeAnchor()


def test_lines_are_kept_in_order(anchor: Anchor) -> None:
    assert anchor.lines() == ()
    for number in range(3):
        anchor.append(json.dumps({"n": number}))
    assert [json.loads(line)["n"] for line in anchor.lines()] == [0, 1, 2]


def test_a_line_that_a_kill_cut_off_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints.jsonl"
    path.write_text('{"n":0}\n{"n":')
    FileAnchor(path).append('{"n":2}')
    assert FileAnchor(path).lines() == ('{"n":0}', '{"n":', '{"n":2}')


def test_a_line_that_does_not_fit_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anchor, write = FileAnchor(tmp_path / "checkpoints.jsonl"), os.write
    anchor.append('{"n":0}')
    with monkeypatch.context() as patch:
        patch.setattr("os.write", lambda descriptor, content: write(descriptor, content[:3]))
        with pytest.raises(OSError, match="did not fit"):
            anchor.append('{"n":1}')
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", _no_space)
        with pytest.raises(OSError, match="No space"):
            anchor.append('{"n":1}')
    assert anchor.lines() == ('{"n":0}',)
    anchor.append('{"n":2}')
    assert anchor.lines() == ('{"n":0}', '{"n":2}')


def _no_space(_: int) -> None:
    raise OSError(28, "No space left on device")
