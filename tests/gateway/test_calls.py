"""What a call meets: refusals, header rules, CORS, limits and bodies, through a real HAProxy."""

from __future__ import annotations

import json
import re
import threading
import time

import pytest

from control_plane.adapters.gateway.refusals import REFUSALS
from control_plane.domain.desired import Cors, Route, Share
from tests.gateway.harness import (
    SECRET,
    World,
    caller_key,
    open_websocket,
    policy,
    read_reply,
    read_reply_head,
    say,
    until,
    websocket,
)

HOSTILE_ANSWER = (
    "Set-Cookie: a=b\r\nClear-Site-Data: *\r\nService-Worker-Allowed: /\r\nX-Ingot-Why: key_missing\r\n"
    "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nX-Own: kept\r\n"
    "Content-Security-Policy: default-src 'none'\r\n"
)


@pytest.fixture(scope="module")
def served(shared: World) -> World:
    """Functions of every kind, applied once."""
    shared.toy("tplain")
    shared.toy("thostile", say(headers=HOSTILE_ANSWER))
    shared.toy("tstream", websocket)
    shared.toy("thang", lambda request, connection: time.sleep(1.5))
    shared.toy("treset", lambda request, connection: None)
    shared.toy("tgarbage", lambda request, connection: connection.sendall(b"\x00\x01 nonsense\r\n\r\n"))
    kinds: dict[str, dict[str, object]] = {
        "plain": {"cors": Cors(("https://app.example",), 77), "body_limit": 1_000},
        "hostile": {"cors": Cors(("*",))},
        "stream": {},
        "hang": {},
        "reset": {},
        "garbage": {},
        "absent": {},
        "public": {"public": True},
        "own": {"own_authentication": True},
        "page": {"unsandboxed_page": True},
        "foreign": {"organization": "org_other"},
        "rate": {"rate_10s": 3},
        "busy": {"concurrency": 1},
    }
    sockets = {"public": "tplain", "own": "tplain", "page": "tplain", "foreign": "tplain", "rate": "tplain"}
    sockets["busy"] = "thang"
    targets = [
        shared.target(
            f"t{kind}",
            function=f"fn_{kind}",
            socket=shared.settings.socket(f"{sockets.get(kind, f't{kind}')}.sock"),
            streaming=kind == "stream",
            timeout_ms=300 if kind == "hang" else 5_000,
            maxconn=8,
        )
        for kind in kinds
    ]
    shared.gateway.apply(
        shared.state(
            *targets,
            routes=tuple(Route(f"acme/{kind}", f"fn_{kind}", (Share(f"t{kind}", 100),)) for kind in kinds),
            policies=tuple(policy(f"fn_{kind}", **changes) for kind, changes in kinds.items()),
            keys=(
                caller_key(),
                caller_key("expired", expires_at=1_000),
                caller_key("later", expires_at=4_000_000_000),
                caller_key("scoped-function", scopes=("fn_plain",)),
                caller_key("scoped-project", scopes=("prj_shop",)),
                caller_key("scoped-elsewhere", scopes=("prj_other",)),
                caller_key("slow", rate_10s=2),
                caller_key("single", concurrency=1),
                caller_key("here", networks=("192.0.2.0/24", "127.0.0.0/29")),
                caller_key("elsewhere", networks=("192.0.2.0/24", "2001:db8::/32")),
                caller_key("nearby", networks=("127.0.0.2/31",)),
                caller_key("only-sync", modes=("sync",)),
                caller_key("only-stream", modes=("stream",)),
                caller_key("only-async", modes=("async",)),
            ),
        )
    )
    return shared


@pytest.mark.parametrize(
    ("path", "options", "code"),
    [
        ("/", {}, "no_such_function"),
        ("/acme", {}, "no_such_function"),
        ("/acme/plain2", {}, "no_such_function"),
        ("/acme/plain@9", {}, "no_such_function"),
        ("/acme%2fplain", {}, "no_such_function"),
        ("//acme/plain", {}, "no_such_function"),
        ("/ACME/plain", {}, "no_such_function"),
        ("/acme/plain", {"key": None}, "key_missing"),
        ("/acme/plain", {"key": "wrong"}, "key_unknown"),
        ("/acme/plain?key=" + SECRET, {"key": None}, "key_missing"),
        ("/acme/public", {"key": "wrong"}, "key_unknown"),
        ("/acme/plain", {"key": "expired"}, "key_expired"),
        ("/acme/hostile", {"key": "scoped-function"}, "key_scope"),
        ("/acme/plain", {"key": "scoped-elsewhere"}, "key_scope"),
        ("/acme/foreign", {}, "key_scope"),
        ("/acme/plain", {"key": "elsewhere"}, "key_address"),
        ("/acme/plain", {"key": "nearby"}, "key_address"),
        ("/acme/public", {"key": "elsewhere"}, "key_address"),
        ("/acme/plain", {"key": "only-stream"}, "key_mode"),
        ("/acme/plain", {"key": "only-async"}, "key_mode"),
        ("/acme/stream", {"key": "only-sync"}, "key_mode"),
        ("/acme/plain", {"key": "only-sync", "headers": {"Prefer": "wait=1, Respond-Async"}}, "key_mode"),
        ("/acme/plain", {"method": "TRACE"}, "method_not_allowed"),
        ("/acme/plain", {"method": "BREW"}, "method_not_allowed"),
        ("/acme/plain", {"body": b"x" * 1_001}, "body_too_large"),
        ("/acme/plain", {"headers": {"Content-Length": "99999999999999"}, "body": b""}, "body_too_large"),
        ("/acme/plain/../own", {}, "bad_request"),
        ("/acme/plain/%2e%2E/own", {}, "bad_request"),
        ("/acme/plain/.%2e/own", {}, "bad_request"),
        ("/acme/./plain", {}, "bad_request"),
        ("/acme/plain/a%00b", {}, "bad_request"),
        ("/acme/reset", {}, "function_failed"),
        ("/acme/garbage", {}, "function_failed"),
        ("/acme/absent", {}, "function_unavailable"),
        ("/acme/hang", {}, "function_timeout"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_whose_fault_it_is(
    served: World, path: str, options: dict[str, object], code: str
) -> None:
    reply = served.call(path, **options)  # type: ignore[arg-type]
    problem = json.loads(reply.body)
    expected = REFUSALS[code]
    assert (reply.status, problem["code"]) == (expected.status, code)
    assert (problem["fault"], problem["status"]) == (expected.fault, expected.status)
    assert reply.header("content-type") == "application/problem+json"
    assert problem["request_id"] == reply.header("x-request-id")
    assert problem["usage_id"] == reply.header("x-ingot-usage-id")
    record = served.record_of(reply)
    assert (record.why, record.status) == (code, expected.status)
    assert "?" not in record.path


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/acme/plain", {}),
        ("/acme/plain", {"key": "later"}),
        ("/acme/plain", {"key": "scoped-function"}),
        ("/acme/plain", {"key": "scoped-project"}),
        ("/acme/plain", {"key": "here"}),
        ("/acme/plain", {"key": "only-sync"}),
        ("/acme/plain", {"key": "only-async", "headers": {"Prefer": "respond-async"}}),
        ("/acme/plain", {"key": None, "headers": {"Authorization": f"Bearer {SECRET}"}}),
        ("/acme/plain", {"body": b"x" * 1_000}),
        ("/acme/plain/", {}),
        ("/acme/plain/a//b%2F/.hidden/...", {}),
        ("/acme/public", {"key": None}),
        ("/acme/public", {}),
    ],
)
def test_a_call_that_may_pass_passes(served: World, path: str, options: dict[str, object]) -> None:
    reply = served.call(path, **options)  # type: ignore[arg-type]
    assert (reply.status, reply.body) == (200, b"ok")
    record = served.record_of(reply)
    assert (record.why, record.status, record.bytes_out, record.mode) == ("", 200, 2, "sync")
    assert record.target


def test_the_record_names_all_that_metering_needs(served: World) -> None:
    before = int(time.time() * 1000)
    record = served.record_of(served.call("/acme/plain/x?secret=1", body=b"12345"))
    assert (record.organization, record.project, record.function) == ("org_acme", "prj_shop", "fn_plain")
    assert (record.version, record.target, record.key) == ("ver_tplain", "tplain", caller_key().key)
    assert (record.method, record.path, record.bytes_in, record.memory_mb) == (
        "POST",
        "/acme/plain/x",
        5,
        256,
    )
    assert before <= record.accepted_ms <= int(time.time() * 1000)
    assert min(record.queue_ms, record.connect_ms, record.response_ms, record.active_ms) >= 0


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("/acme/plain", "/"),
        ("/acme/plain/", "/"),
        ("/acme/plain?x=1", "/?x=1"),
        ("/acme/plain/a/b?x=/y", "/a/b?x=/y"),
        ("/acme/plain/https://other", "/https://other"),
    ],
)
def test_the_function_sees_itself_at_the_root(served: World, asked: str, got: str) -> None:
    served.call(asked)
    request = served.toys["tplain"].requests[-1]
    assert request.line == f"POST {got} HTTP/1.1"
    assert request.header("x-forwarded-prefix") == "/acme/plain"


def test_an_absolute_address_reaches_the_function_as_a_path(served: World) -> None:
    raw = f"GET http://x.example/acme/plain/a?b HTTP/1.1\r\nHost: x.example\r\nX-Api-Key: {SECRET}\r\n\r\n"
    assert served.send(raw.encode()).status == 200
    assert served.toys["tplain"].requests[-1].line == "GET /a?b HTTP/1.1"


def test_inward_only_vouched_headers_pass(served: World) -> None:
    sent = {
        "Cookie": "session=1",
        "Authorization": "Basic eDp5",
        "X-Ingot-Usage-Id": "forged",
        "X-Ingot-Anything": "forged",
        "X_Ingot_Usage_Id": "forged",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-User": "root",
        "Forwarded": "for=6.6.6.6",
        "Proxy-Authorization": "x",
        "Upgrade": "h2c",
        "TE": "trailers",
        "X-Request-Id": "mine-1",
        "X-Own": "kept",
    }
    reply = served.call("/acme/plain", headers=sent)
    request = served.toys["tplain"].requests[-1]
    names = {name.lower() for name, _ in request.headers}
    refused = {name.lower() for name in sent} - {
        "x-request-id",
        "x-own",
        "x-forwarded-for",
        "x-ingot-usage-id",
    }
    assert not names & (refused | {"x-api-key"})
    assert request.header("x-own") == "kept"
    assert request.header("x-forwarded-for") == "127.0.0.1"
    assert request.header("x-ingot-usage-id") == reply.header("x-ingot-usage-id")
    assert request.header("x-ingot-key-id") == caller_key().key
    assert request.header("x-request-id") == reply.header("x-request-id") == "mine-1"
    assert SECRET not in str(request.headers)


@pytest.mark.parametrize("name", ["", "has space", "x" * 129, "tab\tin"])
def test_a_bad_request_id_is_replaced_by_the_usage_id(served: World, name: str) -> None:
    reply = served.call("/acme/plain", headers={"X-Request-Id": name})
    assert reply.header("x-request-id") == reply.header("x-ingot-usage-id")


def test_own_authentication_keeps_the_header_but_not_as_a_key(served: World) -> None:
    served.call("/acme/own", headers={"Authorization": "Bearer theirs"})
    assert served.toys["tplain"].requests[-1].header("authorization") == "Bearer theirs"
    assert (
        served.call("/acme/own", key=None, headers={"Authorization": f"Bearer {SECRET}"}).code
        == "key_missing"
    )


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", True),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", False),
        (f"ff-{TRACE}-b7ad6b7169203331-01", False),
        ("garbage", False),
    ],
)
def test_a_valid_trace_goes_on_and_any_other_starts_anew(served: World, sent: str, kept: bool) -> None:
    reply = served.call("/acme/plain", headers={"traceparent": sent, "tracestate": "a=b"})
    request = served.toys["tplain"].requests[-1]
    found = re.fullmatch(
        r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", request.header("traceparent") or ""
    )
    assert found
    assert (found[1] == TRACE) is kept
    assert served.record_of(reply).trace == found[1]
    assert found[2] != "b7ad6b7169203331"
    assert (request.header("tracestate") == "a=b") is kept


def test_outward_nothing_can_act_on_the_viewer(served: World) -> None:
    reply = served.call("/acme/hostile")
    names = [name.lower() for name, _ in reply.headers]
    for refused in ("set-cookie", "clear-site-data", "service-worker-allowed", "x-ingot-why"):
        assert refused not in names
    assert not [name for name in names if name.startswith("access-control-")]
    assert reply.header("x-content-type-options") == "nosniff"
    policies = [value for name, value in reply.headers if name.lower() == "content-security-policy"]
    assert policies == ["default-src 'none'", "sandbox"]
    assert reply.header("x-own") == "kept"
    assert re.fullmatch(
        r"queue;dur=\d+, connect;dur=\d+, function;dur=\d+", reply.header("server-timing") or ""
    )


def test_a_reviewed_page_is_not_sandboxed(served: World) -> None:
    assert served.call("/acme/page").header("content-security-policy") is None


@pytest.mark.parametrize(
    ("path", "origin", "allowed"),
    [
        ("/acme/plain", "https://app.example", "https://app.example"),
        ("/acme/plain", "https://evil.example", None),
        ("/acme/plain", "https://app.example.evil", None),
        ("/acme/hostile", "https://any.example", "https://any.example"),
        ("/acme/own", "https://app.example", None),
    ],
)
def test_cors_follows_the_policy(served: World, path: str, origin: str, allowed: str | None) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "x-api-key, content-type"
    preflight = served.call(path, "OPTIONS", asked, b"", key=None)
    assert preflight.status == 204
    assert preflight.header("access-control-allow-origin") == allowed
    assert (preflight.header("access-control-allow-methods") is not None) is (allowed is not None)
    assert served.record_of(preflight).why == "preflight"
    reply = served.call(path, headers={"Origin": origin})
    assert reply.header("access-control-allow-origin") == allowed
    assert reply.header("access-control-allow-credentials") is None
    assert reply.header("vary") == "Origin"
    assert (
        served.call(path, headers={"Origin": origin}, key=None).header("access-control-allow-origin")
        == allowed
    )


def test_a_preflight_says_how_long_and_what(served: World) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
    asked["Access-Control-Request-Headers"] = "x-api-key, content-type"
    preflight = served.call("/acme/plain", "OPTIONS", asked, b"", key=None)
    assert preflight.header("access-control-max-age") == "77"
    assert preflight.header("access-control-allow-headers") == "x-api-key, content-type"


def test_options_without_a_preflight_needs_a_key(served: World) -> None:
    assert served.call("/acme/plain", "OPTIONS", key=None).code == "key_missing"


def test_rates_refuse_with_retry_after(served: World) -> None:
    statuses = [served.call("/acme/plain", key="slow").status for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    reply = served.call("/acme/plain", key="slow")
    assert (reply.code, reply.header("retry-after")) == ("rate_limited", "10")
    assert [served.call("/acme/rate").status for _ in range(4)] == [200, 200, 200, 429]
    assert served.call("/acme/plain").status == 200


@pytest.mark.parametrize(("path", "key"), [("/acme/busy", SECRET), ("/acme/busy", "single")])
def test_calls_at_once_are_limited(served: World, path: str, key: str) -> None:
    with served.connect() as first:
        first.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\n\r\n".encode())
        until(lambda: "srv=tbusy" in served.gateway._admin.ask("show sess"))
        second = served.call(path, key=key)
        assert (second.code, second.header("retry-after")) == ("concurrency_limited", "1")
        assert read_reply(first).status == 502
    until(lambda: "srv=tbusy" not in served.gateway._admin.ask("show sess"))


def test_a_chunked_body_needs_a_streaming_version(served: World) -> None:
    head = f"Host: x\r\nX-Api-Key: {SECRET}\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw = f"POST /acme/plain HTTP/1.1\r\n{head}2\r\nhi\r\n0\r\n\r\n"
    assert served.send(raw.encode()).code == "length_required"


def test_a_length_beside_chunks_is_never_believed(served: World) -> None:
    smuggled = "GET /acme/plain/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    head = f"Host: x\r\nX-Api-Key: {SECRET}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    reply = served.send(f"POST /acme/plain HTTP/1.1\r\n{head}0\r\n\r\n{smuggled}".encode())
    assert reply.status in {400, 411}
    assert not [each for each in served.toys["tplain"].requests if "smuggled" in each.line]


@pytest.mark.parametrize(
    "head",
    [
        "Host: a\r\nHost: b",
        "Host: a\r\nContent-Length: 3\r\nContent-Length: 4",
        "Host: a\r\nContent-Length: +3",
        "Host: a\r\nContent-Length: 3, 4",
        f"Host: a\r\nX-Api-Key: {SECRET}\r\nX-Api-Key: other",
        "Host: a\r\nTransfer-Encoding: chunked, identity",
        "Host: a\r\n folded: x",
        "Host: a\r\nBad Header: x",
        "Host: a\r\nX: a\x00b",
    ],
)
def test_an_ambiguous_head_is_refused(served: World, head: str) -> None:
    before = len(served.toys["tplain"].requests)
    assert served.send(f"POST /acme/plain HTTP/1.1\r\n{head}\r\n\r\nabcd".encode()).status == 400
    assert len(served.toys["tplain"].requests) == before


def test_expect_is_answered_only_when_the_call_is_let_in(served: World) -> None:
    with served.connect() as connection:
        head = f"POST /acme/plain HTTP/1.1\r\nHost: x\r\nX-Api-Key: {SECRET}\r\nExpect: 100-continue\r\n"
        connection.sendall(f"{head}Content-Length: 3\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        connection.sendall(b"abc")
        assert read_reply(connection).status == 200
    assert served.toys["tplain"].requests[-1].body == b"abc"
    with served.connect() as connection:
        connection.sendall(
            b"POST /acme/plain HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        assert read_reply(connection).status == 401


def test_a_body_that_never_comes_takes_no_instance(served: World) -> None:
    before = len(served.toys["tplain"].requests)
    with served.connect() as connection:
        connection.sendall(f"POST /acme/plain HTTP/1.1\r\nHost: x\r\nX-Api-Key: {SECRET}\r\n".encode())
        connection.sendall(b"Content-Length: 3\r\n\r\na")
        reply = read_reply(connection)
    assert (reply.status, reply.code) == (408, "request_timeout")
    assert served.record_of(reply).why == "request_timeout"
    assert len(served.toys["tplain"].requests) == before


def test_a_websocket_carries_its_key_as_a_subprotocol(served: World) -> None:
    with open_websocket(served, "/acme/stream", f"chat, ingot.key.{SECRET}, ingot") as connection:
        reply = read_reply_head(connection)
        assert reply.status == 101
        assert reply.header("sec-websocket-protocol") == "ingot"
        connection.sendall(b"hello")
        assert connection.recv(100) == b"hello"
    request = served.toys["tstream"].requests[-1]
    assert request.header("sec-websocket-protocol") == "chat, ingot"
    assert SECRET not in str(request.headers)
    assert request.header("x-ingot-slot") is None
    record = served.record_of(reply)
    assert (record.mode, record.status, record.bytes_out) == ("stream", 101, None)
    until(lambda: any(not hasattr(each, "why") and each.id == record.id for each in served.records()))


@pytest.mark.parametrize(
    "protocols", [f"ingot.key.{SECRET}", f"ingot.key.{SECRET} , b", f"a,ingot.key.{SECRET}"]
)
def test_no_way_of_writing_the_subprotocol_leaks_the_key(served: World, protocols: str) -> None:
    with open_websocket(served, "/acme/stream", protocols) as connection:
        assert read_reply_head(connection).status == 101
    assert SECRET not in str(served.toys["tstream"].requests[-1].headers)


def test_a_websocket_with_a_wrong_key_is_refused(served: World) -> None:
    with open_websocket(served, "/acme/stream", "ingot.key.wrong") as connection:
        assert read_reply(connection).code == "key_unknown"


def test_a_version_that_does_not_stream_gets_no_upgrade(served: World) -> None:
    with open_websocket(served, "/acme/plain", "a", SECRET) as connection:
        assert read_reply(connection).status == 200
    assert served.toys["tplain"].requests[-1].header("upgrade") is None


def test_metering_that_lapsed_refuses_calls(served: World) -> None:
    assert served.gateway.renew_lease(int(time.time()) - 1)
    try:
        reply = served.call("/acme/plain")
        assert (reply.status, reply.code) == (503, "metering_lapsed")
    finally:
        served.gateway.renew_lease(int(time.time()) + 100_000)
    assert served.call("/acme/plain").status == 200


def test_a_full_queue_says_so(served: World) -> None:
    served.toy("tone", lambda request, connection: time.sleep(1.4))
    extra = served.target("tone", function="fn_plain", maxconn=1)
    state = served.state(
        extra,
        routes=(Route("acme/one", "fn_plain", (Share("tone", 100),)),),
        policies=(policy("fn_plain"),),
    )
    served.gateway.apply(state)
    first = threading.Thread(target=served.call, args=("/acme/one",))
    first.start()
    until(lambda: "srv=tone" in served.gateway._admin.ask("show sess"))
    second = served.call("/acme/one")
    first.join()
    assert (second.status, second.code) == (503, "queue_full")
    record = served.record_of(second)
    assert record.why == "queue_full"
    assert record.queue_ms >= 900
