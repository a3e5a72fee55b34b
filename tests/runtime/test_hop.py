"""The token by which an instance knows its gateway: signatures, the guard, and whole instances behind it."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ingot_shim import ed25519
from ingot_shim.hop import Guard
from ingot_shim.http1 import Request
from ingot_shim.problems import Problem

from control_plane.domain.attestations import key_id
from control_plane.domain.hop_tokens import LIFE_S, RENEW_S, HopTokens
from tests.runtime.harness import Instance, post_json

KEY = Ed25519PrivateKey.from_private_bytes(b"h" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)


def name(key: Ed25519PrivateKey) -> str:
    return key_id(key.public_key().public_bytes_raw())


def listed(key: Ed25519PrivateKey) -> str:
    return f"{name(key)}:{base64.b64encode(key.public_key().public_bytes_raw()).decode()}"


def token(
    function: str = "fn_a", key: Ed25519PrivateKey = KEY, now: float | None = None, as_key: str = ""
) -> str:
    def sign(message: bytes) -> str:
        return base64.urlsafe_b64encode(key.sign(message)).decode().rstrip("=")

    moment = int(time.time() if now is None else now)
    return HopTokens(as_key or name(key), sign, lambda: moment).of([function])[function]


def ask(guard: Guard, *tokens: str) -> Request:
    request = Request("POST", "/", 1, [("host", "x"), *(("x-ingot-hop", one) for one in tokens)])
    guard.check(request)
    return request


def refused(guard: Guard, *tokens: str) -> tuple[int, str, str]:
    with pytest.raises(Problem) as found:
        ask(guard, *tokens)
    return found.value.status, found.value.code, found.value.fault


# RFC 8032, section 7.1: secret, public, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac"
            "c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e"
            "458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_it_verifies_as_the_standard_says(public: str, message: str, signature: str) -> None:
    key, said, signed = (bytes.fromhex(text) for text in (public, message, signature))
    assert ed25519.verifies(key, signed, said)
    assert not ed25519.verifies(key, signed, said + b"\0")


def test_it_agrees_with_a_library_about_good_and_damaged_signatures() -> None:
    for length in range(40):
        key, said = Ed25519PrivateKey.generate(), os.urandom(length)
        public, signed = key.public_key().public_bytes_raw(), bytearray(key.sign(said))
        assert ed25519.verifies(public, bytes(signed), said)
        signed[(length * 7) % 64] ^= 1 << length % 8
        assert not ed25519.verifies(public, bytes(signed), said)


def test_a_second_form_of_a_signature_is_refused() -> None:
    # S + L is the same number of the curve: taking it would give one token many texts.
    signed = KEY.sign(b"said")
    order = 2**252 + 27742317777372353535851937790883648493
    moved = (int.from_bytes(signed[32:], "little") + order).to_bytes(32, "little")
    public = KEY.public_key().public_bytes_raw()
    assert not ed25519.verifies(public, signed[:32] + moved, b"said")


@pytest.mark.parametrize("public", [b"", b"\xff" * 32, b"\x02" + b"\0" * 31, b"\x01" + b"\0" * 30 + b"\x80"])
def test_what_is_no_key_verifies_nothing(public: bytes) -> None:
    assert not ed25519.verifies(public, KEY.sign(b"said"), b"said")


def test_a_good_token_passes_and_is_not_the_authors_to_see() -> None:
    request = ask(Guard("fn_a", [listed(KEY)]), token())
    assert request.headers == [("host", "x")]
    assert "x-ingot-hop" not in request.fields


def test_a_token_serves_many_calls_and_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    guard, good = Guard("fn_a", [listed(KEY)]), token()
    ask(guard, good)
    monkeypatch.setattr(ed25519, "verifies", lambda *_: pytest.fail("verified again"))
    ask(guard, good)


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ((), (401, "hop_missing", "caller")),
        (("",), (401, "hop_missing", "caller")),
        (("nonsense",), (401, "hop_invalid", "caller")),
        (("v1.." * 2,), (401, "hop_invalid", "caller")),
        (("v1.a.b.c.d",), (401, "hop_invalid", "caller")),
        (("ü" * 40,), (401, "hop_invalid", "caller")),
        ((token()[:-4] + "AAAA",), (401, "hop_invalid", "caller")),
        ((token() + "A" * 600,), (401, "hop_invalid", "caller")),
        # Two at once are none: who reads the first and who reads the last must not differ.
        ((token(), token()), (401, "hop_invalid", "caller")),
        ((token(key=OTHER),), (401, "hop_invalid", "caller")),
        # Another's signature under the known key's name.
        ((token(key=OTHER, as_key=name(KEY)),), (401, "hop_invalid", "caller")),
        ((token("fn_b"),), (403, "hop_foreign", "caller")),
        ((token(now=time.time() - LIFE_S - 3_600),), (401, "hop_invalid", "caller")),
    ],
)
def test_anything_else_is_refused(given: tuple[str, ...], answer: tuple[int, str, str]) -> None:
    assert refused(Guard("fn_a", [listed(KEY)]), *given) == answer


def test_a_token_ends_also_where_it_was_known() -> None:
    moment = [1_000_000.0]
    guard, good = Guard("fn_a", [listed(KEY)], lambda: moment[0]), token(now=1_000_000)
    ask(guard, good)
    moment[0] += LIFE_S + 29
    ask(guard, good)
    moment[0] += 2
    assert refused(guard, good)[1] == "hop_invalid"
    assert refused(guard, good)[1] == "hop_invalid"


def test_an_old_and_a_new_key_count_while_one_replaces_the_other() -> None:
    guard = Guard("fn_a", [listed(KEY), listed(OTHER)])
    ask(guard, token())
    ask(guard, token(key=OTHER))


def test_tokens_without_end_do_not_fill_the_memory() -> None:
    guard = Guard("fn_a", [listed(KEY)])
    for ago in range(100):
        ask(guard, token(now=time.time() - ago))
    assert len(guard._known) <= 32


def test_no_key_lets_nobody_in() -> None:
    assert refused(Guard("fn_a", []), token())[1] == "hop_invalid"


SHOWS = """
{word}def execute(input, context):
    return {{"headers": sorted(context.headers), "got": input}}
"""
ASGI = """
async def execute(scope, receive, send):
    if scope["type"] != "http":
        return
    names = b" ".join(name for name, _ in scope["headers"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": names})
"""
WSGI = """
def execute(environ, start):
    start("200 OK", [])
    return [" ".join(environ).lower().replace("_", "-").encode()]
"""


@pytest.mark.parametrize(
    ("kind", "code", "concurrency"),
    [
        ("handler", SHOWS.format(word=""), 1),
        ("handler", SHOWS.format(word=""), 3),
        ("handler", SHOWS.format(word="async "), 2),
        ("asgi", ASGI, 2),
        ("wsgi", WSGI, 1),
    ],
)
def test_every_kind_of_instance_asks_for_it(tmp_path: Path, kind: str, code: str, concurrency: int) -> None:
    hop: dict[str, Any] = {"function": "fn_a", "keys": [listed(KEY)]}
    limits = {"concurrency": concurrency, "timeout_ms": 5_000}
    with Instance(tmp_path, code, kind=kind, limits=limits, hop=hop) as one:
        answer = one.call(post_json({"a": 1}))
        assert (answer.status, answer.json["code"]) == (401, "hop_missing")
        assert answer.headers["content-type"] == "application/problem+json"
        for _ in range(3):
            answer = one.call(post_json({"a": 1}, x_ingot_hop=token()))
            assert answer.status == 200
            assert b"ingot-hop" not in answer.body
        answer = one.call(post_json({"a": 1}, x_ingot_hop=token("fn_b")))
        assert (answer.status, answer.json["code"]) == (403, "hop_foreign")


def test_where_none_is_asked_for_calls_need_none(tmp_path: Path) -> None:
    with Instance(tmp_path, SHOWS.format(word="")) as one:
        assert one.call(post_json(1)).status == 200


def test_tokens_are_made_anew_when_they_are_due_and_for_present_functions_alone() -> None:
    moment, signed = [1_000], []

    def sign(message: bytes) -> str:
        signed.append(message)
        return f"s{len(signed)}"

    tokens = HopTokens("k", sign, lambda: moment[0])
    first = tokens.of(["fn_a", "fn_b"])
    assert first == {"fn_a": f"v1.k.{1_000 + LIFE_S}.fn_a.s1", "fn_b": f"v1.k.{1_000 + LIFE_S}.fn_b.s2"}
    assert signed[0] == f"ingot-hop-token\nv1.k.{1_000 + LIFE_S}.fn_a".encode()
    moment[0] += RENEW_S - 1
    assert tokens.of(["fn_a"]) == {"fn_a": first["fn_a"]}
    assert tokens.of(["fn_a", "fn_b"])["fn_b"] != first["fn_b"]
    moment[0] += 1
    assert tokens.of(["fn_a"])["fn_a"].startswith(f"v1.k.{1_000 + RENEW_S + LIFE_S}.")
    moment[0] -= 500
    assert tokens.of(["fn_a"])["fn_a"].startswith(f"v1.k.{560 + LIFE_S}.")


@pytest.mark.parametrize(("key", "function"), [("a.b", "fn"), ("a", "fn.b")])
def test_a_dot_would_move_the_parts(key: str, function: str) -> None:
    with pytest.raises(ValueError, match="dot"):
        HopTokens(key, lambda _: "s", lambda: 1).of([function])
