"""What may run: signatures, places, epochs, takedowns and policies, without a cluster."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.domain.attestations import (
    RELEASE_TYPE,
    Admitted,
    Refusal,
    ReleaseStatement,
    TakedownStatement,
    frame,
    payload_of,
    release_statement,
    takedown_statement,
    workload_digest,
)
from operators.attestation import judge, read_takedown, still_admissible, taken_down_after
from operators.trust import TrustedKey, read_trust
from tests.operators.stage import NOW, digest, function_body, image, sign, version

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)


def trusted(key: Ed25519PrivateKey = KEY, **fields: Any) -> TrustedKey:
    return TrustedKey("release", key.public_key().public_bytes_raw(), **fields)


def said(body: dict[str, Any], **changes: Any) -> ReleaseStatement:
    statement = ReleaseStatement(
        function="fn_orders",
        organization="org_acme",
        project="prj_shop",
        namespace="shop",
        name="orders",
        release=digest("e"),
        workload=workload_digest(body["spec"]),
        approvals=1,
        epoch=5,
    )
    return replace(statement, **changes)


def attested(
    body: dict[str, Any] | None = None, key: Ed25519PrivateKey = KEY, **changes: Any
) -> dict[str, Any]:
    body = body or function_body()
    return body | {"spec": body["spec"] | {"attestation": sign(said(body, **changes), key)}}


def reason(body: dict[str, Any], known: Admitted = Admitted(), *keys: TrustedKey) -> str:  # noqa: B008
    refusal = judge(body, keys or (trusted(),), known, NOW).refusal
    return refusal.reason if refusal else ""


def test_what_a_trusted_key_signed_for_this_place_may_run() -> None:
    assert reason(attested()) == ""


def test_nothing_runs_unsigned() -> None:
    assert reason(function_body()) == "AttestationMissing"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"function": "fn_other"}, "Moved"),
        ({"organization": "org_other"}, "Moved"),
        ({"project": "prj_other"}, "Moved"),
        ({"namespace": "staging"}, "Moved"),
        ({"name": "returns"}, "Moved"),
        ({"workload": digest("0")}, "NotAttested"),
    ],
)
def test_a_release_that_was_attested_for_elsewhere_is_refused(changes: dict[str, Any], expected: str) -> None:
    assert reason(attested(**changes)) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"image": image("f")},
        {"percent": 99},
        {"digest": digest("f")},
        {"settings": {"A": "1"}},
        {"secrets": [{"name": "A", "secret": "s", "key": "k"}]},
        {"minInstances": 1},
        {"limits": {"memoryMb": 512, "timeoutMs": 30_000, "concurrency": 1, "instances": 4}},
    ],
)
def test_every_change_of_what_runs_needs_a_new_attestation(change: dict[str, Any]) -> None:
    body = attested()
    body["spec"] = body["spec"] | {"versions": [version(1) | change]}
    assert reason(body) == "NotAttested"


def test_who_manages_the_resource_is_no_part_of_the_release() -> None:
    body = attested()
    body["spec"] = body["spec"] | {"managedBy": "console"}
    assert reason(body) == ""


def test_an_older_release_is_refused_and_the_same_one_is_not() -> None:
    body = attested(epoch=5)
    workload = workload_digest(body["spec"])
    assert reason(body, Admitted("shop", "orders", 5, workload)) == ""
    assert reason(body, Admitted("shop", "orders", 6, digest("0"))) == "Replayed"
    # Two releases never share an epoch: whichever came first stays.
    assert reason(body, Admitted("shop", "orders", 5, digest("0"))) == "Replayed"
    assert reason(body, Admitted("elsewhere", "orders", 5, workload)) == "Replayed"


def test_a_taken_down_version_is_refused_in_every_release() -> None:
    assert reason(attested(epoch=99), Admitted(down=(digest("1"),))) == "TakenDown"
    assert reason(attested(epoch=5), Admitted(minimum=6)) == "TakenDown"
    assert reason(attested(epoch=6), Admitted(minimum=6)) == ""


def test_a_namespace_may_ask_for_approvals() -> None:
    assert reason(attested(approvals=0), Admitted(), trusted(approvals=1)) == "Unreviewed"
    assert reason(attested(approvals=1), Admitted(), trusted(approvals=1)) == ""
    # The same key listed twice: the stricter entry counts.
    both = (trusted(approvals=0), trusted(approvals=2, namespaces=("shop",)))
    assert reason(attested(approvals=1), Admitted(), *both) == "Unreviewed"


@pytest.mark.parametrize(
    "key",
    [
        trusted(OTHER),
        trusted(namespaces=("staging", "dev-*")),
        trusted(until=NOW),
        TrustedKey("short", b"x" * 31),
        TrustedKey("zeros", bytes(32)),
    ],
)
def test_a_signature_counts_only_by_a_key_that_is_trusted_here_and_now(key: TrustedKey) -> None:
    assert reason(attested(), Admitted(), key) == "NotTrusted"


def test_a_key_counts_within_its_namespaces_and_time() -> None:
    assert reason(attested(), Admitted(), trusted(namespaces=("sh*",), until=NOW + timedelta(1))) == ""


def test_one_good_signature_of_several_is_enough() -> None:
    body = attested()
    strange = {"keyid": "x", "sig": base64.b64encode(b"x" * 64).decode()}
    body["spec"]["attestation"]["signatures"].insert(0, strange)
    assert reason(body) == ""


def test_a_takedown_is_no_release() -> None:
    body = function_body()
    body["spec"] |= {"attestation": sign(TakedownStatement("fn_orders", 1, 0, ()), KEY)}
    assert reason(body) == "AttestationMalformed"


def test_a_signature_covers_the_type_of_what_it_says() -> None:
    body = function_body()
    takedown = sign(TakedownStatement("fn_orders", 1, 0, ()), KEY)
    body["spec"] |= {"attestation": takedown | {"payloadType": RELEASE_TYPE}}
    assert reason(body) == "NotTrusted"


def envelope(**changes: Any) -> dict[str, Any]:
    return dict(attested()["spec"]["attestation"]) | changes


@pytest.mark.parametrize(
    "broken",
    [
        "text",
        [],
        None,
        envelope(payloadType="application/json"),
        envelope(payload="no base64!"),
        envelope(payload=7),
        envelope(payload="A" * 300_000),
        envelope(signatures=[]),
        envelope(signatures={}),
        envelope(signatures=["x"]),
        envelope(signatures=[{"keyid": "k", "sig": None}]),
        envelope(signatures=[{"keyid": "k", "sig": "AA=="}] * 11),
    ],
)
def test_a_broken_envelope_is_refused_not_believed(broken: Any) -> None:
    body = function_body()
    body["spec"] |= {"attestation": broken}
    assert reason(body) == "AttestationMalformed"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{" * 100_000,
        b'{"function": 1}',
        json.dumps({**json.loads(payload_of(said(function_body()))[1]), "epoch": True}).encode(),
        json.dumps({**json.loads(payload_of(said(function_body()))[1]), "epoch": 1.5}).encode(),
        json.dumps({**json.loads(payload_of(said(function_body()))[1]), "extra": ""}).encode(),
    ],
)
def test_a_signed_payload_of_another_shape_is_refused(payload: bytes) -> None:
    signature = KEY.sign(frame(RELEASE_TYPE, payload))
    body = function_body()
    body["spec"] |= {
        "attestation": {
            "payloadType": RELEASE_TYPE,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"keyid": "k", "sig": base64.b64encode(signature).decode()}],
        }
    }
    assert reason(body) == "AttestationMalformed"


def test_the_frame_is_dsse() -> None:
    # The example of the DSSE specification.
    assert frame("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_statements_survive_their_bytes() -> None:
    release, takedown = said(function_body()), TakedownStatement("fn_orders", 3, 2, (digest("1"),))
    assert release_statement(payload_of(release)[1]) == release
    assert takedown_statement(payload_of(takedown)[1]) == takedown


def tombstone(statement: TakedownStatement, key: Ed25519PrivateKey = KEY) -> dict[str, Any]:
    return {"spec": {"function": "fn_orders", "statement": sign(statement, key)}}


def test_a_takedown_is_read_once_and_older_ones_change_nothing() -> None:
    newer = TakedownStatement("fn_orders", 3, 2, (digest("1"), digest("2")))
    read = read_takedown(tombstone(newer), (trusted(),), Admitted(), NOW)
    assert read == newer
    known = taken_down_after(Admitted(epoch=9), newer)
    assert known == Admitted(epoch=9, takedown_epoch=3, minimum=2, down=(digest("1"), digest("2")))
    older = tombstone(TakedownStatement("fn_orders", 2, 0, ()))
    refused = read_takedown(older, (trusted(),), known, NOW)
    assert isinstance(refused, Refusal)
    assert refused.reason == "Replayed"


def test_reinstating_takes_a_newer_statement_and_never_lowers_the_minimum() -> None:
    known = Admitted(takedown_epoch=3, minimum=2, down=(digest("1"),))
    after = taken_down_after(known, TakedownStatement("fn_orders", 4, 0, ()))
    assert (after.down, after.minimum) == ((), 2)


@pytest.mark.parametrize(
    ("statement", "key", "known", "expected"),
    [
        (TakedownStatement("fn_other", 3, 0, ()), trusted(), Admitted(), "Moved"),
        (TakedownStatement("fn_orders", 3, 0, ()), trusted(OTHER), Admitted(), "NotTrusted"),
        (TakedownStatement("fn_orders", 3, 0, ()), trusted(namespaces=("shop",)), Admitted(), "NotTrusted"),
        (
            TakedownStatement("fn_orders", 3, 0, ()),
            trusted(namespaces=("staging",)),
            Admitted("shop", "orders"),
            "NotTrusted",
        ),
    ],
)
def test_a_takedown_needs_a_key_for_its_function(
    statement: TakedownStatement, key: TrustedKey, known: Admitted, expected: str
) -> None:
    refused = read_takedown(tombstone(statement), (key,), known, NOW)
    assert isinstance(refused, Refusal)
    assert refused.reason == expected


def test_what_was_admitted_goes_on_only_where_it_was_and_only_while_it_may() -> None:
    spec = function_body()["spec"]
    known = Admitted("shop", "orders", 5)
    assert still_admissible(spec, known, "shop", "orders")
    assert not still_admissible(spec, known, "shop", "returns")
    assert not still_admissible(spec, replace(known, minimum=6), "shop", "orders")
    assert not still_admissible(spec, replace(known, down=(digest("1"),)), "shop", "orders")


PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()


def test_the_trust_list_is_read_with_its_limits() -> None:
    text = json.dumps(
        {"key": PUBLIC, "namespaces": ["shop"], "approvals": 2, "until": "2027-01-01T00:00:00Z"}
    )
    keys, faults = read_trust({"data": {"b": text, "a": json.dumps({"key": PUBLIC})}})
    assert faults == ()
    assert keys == (
        TrustedKey("a", KEY.public_key().public_bytes_raw()),
        TrustedKey("b", KEY.public_key().public_bytes_raw(), ("shop",), 2, datetime(2027, 1, 1, tzinfo=UTC)),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "{}",
        '{"key": "x"}',
        '{"key": "AAAA"}',
        json.dumps({"key": PUBLIC, "aproval": 1}),
        json.dumps({"key": PUBLIC, "approvals": True}),
        json.dumps({"key": PUBLIC, "approvals": "1"}),
        json.dumps({"key": PUBLIC, "namespaces": "shop"}),
        json.dumps({"key": PUBLIC, "until": "soon"}),
    ],
)
def test_an_entry_that_cannot_be_read_trusts_nobody_and_spoils_nothing(text: str) -> None:
    keys, faults = read_trust({"data": {"bad": text, "good": json.dumps({"key": PUBLIC})}})
    assert [key.name for key in keys] == ["good"]
    assert len(faults) == 1
    assert faults[0].startswith("bad: ")


def test_without_a_trust_list_nobody_is_trusted() -> None:
    assert read_trust(None) == ((), ())
    assert read_trust({}) == ((), ())
