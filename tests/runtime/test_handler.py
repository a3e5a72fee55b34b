"""Plain handlers: what goes in, what comes out, and whose fault an error is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .harness import Instance, post_json, request

ECHO = """
def execute(input, context):
    return {"hello": input}
"""
ASYNC_ECHO = """
import asyncio
async def execute(input, context):
    await asyncio.sleep(0)
    return {"hello": input}
"""


@pytest.mark.parametrize("source", [ECHO, ASYNC_ECHO], ids=["sync", "async"])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_json_in_json_out(tmp_path: Path, source: str, concurrency: int) -> None:
    with Instance(tmp_path, source, limits={"concurrency": concurrency}) as instance:
        assert instance.event["event"] == "ready"
        assert instance.event["import_us"] > 0
        for number in range(5):
            answer = instance.post({"n": number})
            assert answer.status == 200
            assert answer.json == {"hello": {"n": number}}
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["content-length"] == str(len(answer.body))
            assert answer.headers["connection"] == "close"
            assert "date" in answer.headers
        instance.quit()
        assert instance.exit == 0


RESULTS = """
import itertools
VALUES = {
    "none": None,
    "number": 1.5,
    "text": "ü",
    "list": [1, (2, 3)],
    "bytes": b"\\x00\\xff",
    "true": True,
    "view": memoryview(b"abc"),
    "created": (201, {"X-A": "1"}, {"a": 1}),
    "pairs": (200, [("X", "1"), ("X", "2")], "t"),
    "page": (200, {"Content-Type": "text/html; charset=utf-8"}, "<p>ü"),
    "empty": (204, None, None),
    "png": (200, {"content-type": "image/png"}, b"PNG"),
    "nan": float("nan"),
    "object": object(),
    "set": {1},
    "tuple": (1, 2),
    "triple": (True, {}, 1),
    "status": (99, {}, 1),
    "status600": (600, {}, 1),
    "inject": (200, {"X": "a\\r\\nSet-Cookie: b"}, 1),
    "name": (200, {"X y": "a"}, 1),
    "nul": (200, {"X": "\\0"}, 1),
    "kind": (200, {"X": 1}, 1),
    "headers": (200, 5, 1),
    "wide": (200, {"X": "\\u20ac"}, 1),
    "huge": (200, {"X": "a" * 12_001}, 1),
    "surrogate": "\\ud800",
    "framing": (200, {"Content-Length": "1", "Transfer-Encoding": "chunked", "Connection": "Upgrade"}, "abc"),
    "surrogate_text": (200, {"Content-Type": "text/plain"}, "\\ud800"),
    "problem": (404, {"Content-Type": "application/problem+json"}, {"no": 1}),
}
cycle = []
cycle.append(cycle)
deep = []
for _ in range(100_000):
    deep = [deep]
VALUES |= {"cycle": cycle, "deep": deep}

def execute(input, context):
    return VALUES[input]
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with Instance(tmp_path_factory.mktemp("results"), RESULTS) as instance:
        yield instance


@pytest.mark.parametrize(
    ("name", "status", "kind", "body"),
    [
        ("none", 200, "application/json", b"null"),
        ("number", 200, "application/json", b"1.5"),
        ("text", 200, "application/json", '"ü"'.encode()),
        ("list", 200, "application/json", b"[1,[2,3]]"),
        ("true", 200, "application/json", b"true"),
        ("bytes", 200, "application/octet-stream", b"\x00\xff"),
        ("view", 200, "application/octet-stream", b"abc"),
        ("created", 201, "application/json", b'{"a":1}'),
        ("pairs", 200, "application/json", b'"t"'),
        ("page", 200, "text/html; charset=utf-8", "<p>ü".encode()),
        ("png", 200, "image/png", b"PNG"),
        ("framing", 200, "application/json", b'"abc"'),
        ("problem", 404, "application/problem+json", b'{"no":1}'),
    ],
)
def test_results(results: Instance, name: str, status: int, kind: str, body: bytes) -> None:
    answer = results.post(name)
    assert (answer.status, answer.headers["content-type"], answer.body) == (status, kind, body)
    assert answer.headers["content-length"] == str(len(body))
    assert answer.raw.lower().count(b"content-length") == 1
    assert answer.headers["connection"] == "close"


def test_no_content_has_no_length(results: Instance) -> None:
    answer = results.post("empty")
    assert (answer.status, answer.body) == (204, b"")
    assert "content-length" not in answer.headers


def test_equal_headers_are_kept_apart(results: Instance) -> None:
    assert b"X: 1\r\nX: 2\r\n" in results.post("pairs").raw


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nan", "output_invalid"),
        ("object", "output_invalid"),
        ("set", "output_invalid"),
        ("cycle", "output_invalid"),
        ("deep", "output_invalid"),
        ("surrogate", "output_invalid"),
        ("surrogate_text", "output_invalid"),
        ("tuple", "handler_failed"),
        ("triple", "handler_failed"),
        ("status", "handler_failed"),
        ("status600", "handler_failed"),
        ("inject", "handler_failed"),
        ("name", "handler_failed"),
        ("nul", "handler_failed"),
        ("kind", "handler_failed"),
        ("headers", "handler_failed"),
        ("wide", "handler_failed"),
        ("huge", "handler_failed"),
        ("missing", "handler_failed"),
    ],
)
def test_unusable_results_are_the_authors_fault(results: Instance, name: str, code: str) -> None:
    answer = results.post(name)
    assert answer.status == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["code"] == code
    assert answer.json["fault"] == "author"
    assert answer.json["request_id"] == "req-1"
    assert "Traceback" not in answer.body.decode()
    assert b"Set-Cookie" not in answer.raw


INPUTS = """
def execute(input, context):
    return [type(input).__name__, input.decode("latin-1") if isinstance(input, bytes) else input]
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with Instance(tmp_path_factory.mktemp("inputs"), INPUTS) as instance:
        yield instance


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("application/json", b'{"a":[1]}', ["dict", {"a": [1]}]),
        ("application/json; charset=utf-8", b"1", ["int", 1]),
        ("Application/Cloudevents+JSON", b'"x"', ["str", "x"]),
        ("application/json", b"null", ["NoneType", None]),
        ("text/plain", b"\xff", ["bytes", "\xff"]),
        ("application/jsonp", b"1", ["bytes", "1"]),
        ("text/csv", b"", ["bytes", ""]),
        ("", b"raw", ["bytes", "raw"]),
        ("", b"", ["NoneType", None]),
    ],
)
def test_inputs(inputs: Instance, kind: str, body: bytes, expected: list[object]) -> None:
    headers = {"content_type": kind} if kind else {}
    answer = inputs.call(request(body=body, **headers))
    assert answer.status == 200, answer.body
    assert answer.json == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1,]",
        b"NaN",
        b"[Infinity]",
        b"\xff",
        b"\xef\xbb\xbf1",
        b"1 2",
        b"[" * 200_000,
        b"[" * 600 + b"]" * 600,
        b'{"a":' * 501 + b"1" + b"}" * 501,
        b'"' + b'\\"' * 100_000 + b"[" * 600,
        b"1" * 5000,
    ],
)
def test_bad_json_is_the_callers_fault(inputs: Instance, body: bytes) -> None:
    answer = inputs.call(request(body=body, content_type="application/json"))
    assert (answer.status, answer.json["code"], answer.json["fault"]) == (400, "bad_json", "caller")
    assert answer.json["request_id"] == "req-1"


def test_brackets_in_text_are_not_depth(inputs: Instance) -> None:
    value = ["[" * 1000, '\\"[' * 600, [[]] * 600]
    answer = inputs.post(value)
    assert answer.status == 200
    assert answer.json[1] == value


def test_head_has_the_length_and_no_body(inputs: Instance) -> None:
    answer = inputs.call(request("HEAD"))
    assert answer.status == 200
    assert answer.body == b""
    assert answer.headers["content-length"] == str(len(b'["NoneType",null]'))


FAILURES = """
import sys
class Odd(Exception):
    def __str__(self):
        raise ValueError("no text")
async def coroutine():
    pass
def execute(input, context):
    if input == "raise":
        raise RuntimeError("the secret 4711")
    if input == "exit":
        sys.exit(3)
    if input == "interrupt":
        raise KeyboardInterrupt
    if input == "odd":
        raise Odd
    if input == "os":
        raise ConnectionResetError("not the caller's")
    if input == "coroutine":
        return coroutine()
    if input == "generator":
        return (x for x in [1])
    return 1
"""


@pytest.mark.parametrize("name", ["raise", "exit", "interrupt", "odd", "os", "coroutine", "generator"])
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_failing_handler_answers_and_the_next_call_works(tmp_path: Path, name: str, kind: str) -> None:
    if name == "coroutine" and kind == "async def":
        pytest.skip("an asynchronous handler awaits what it returns")
    source = FAILURES.replace("def execute", f"{kind} execute")
    with Instance(tmp_path, source) as instance:
        answer = instance.post(name)
        assert (answer.status, answer.json["code"], answer.json["fault"]) == (500, "handler_failed", "author")
        assert b"4711" not in answer.body
        assert instance.post("fine").body == b"1"
        if name == "raise":
            record = next(item for item in instance.log() if item["l"] == "error")
            assert record["r"] == "req-1"
            assert "the secret 4711" in record["f"]["traceback"]
            assert "main.py" in record["f"]["traceback"]
            assert "ingot_shim" not in record["f"]["traceback"]


CONTEXT = """
import logging, random, time
SEEDED = random.Random
def execute(input, context):
    context.logger.info("seen %s", 1, extra={"order": 7})
    logging.getLogger("mine").warning("plain")
    print("printed")
    return {
        "request_id": context.request_id, "usage_id": context.usage_id, "key_id": context.key_id,
        "trace": context.trace, "function": context.function, "version": context.version,
        "method": context.method, "path": context.path, "query": context.query,
        "query_string": context.query_string, "agent": context.headers["user-agent"],
        "settings": dict(context.settings), "secrets": dict(context.secrets),
        "left": 4 < context.remaining <= 5, "deadline": 4 < context.deadline - time.monotonic() <= 5,
    }
"""


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_context(tmp_path: Path, kind: str) -> None:
    source = CONTEXT.replace("def execute", f"{kind} execute")
    extra: dict[str, Any] = {"limits": {"timeout_ms": 5000}, "settings": {"A": "1"}, "secrets": {"S": "x"}}
    with Instance(tmp_path, source, **extra) as instance:
        answer = instance.call(
            post_json(
                1,
                "/acme/orders@7/sub%20path/x?a=1&a=2&b=",
                x_ingot_usage_id="u1",
                x_ingot_key_id="k1",
                traceparent="00-aa",
                user_agent="me",
            )
        )
        assert answer.json == {
            "request_id": "req-1",
            "usage_id": "u1",
            "key_id": "k1",
            "trace": "00-aa",
            "function": "f1",
            "version": "v1",
            "method": "POST",
            "path": "/sub path/x",
            "query": {"a": "2", "b": ""},
            "query_string": "a=1&a=2&b=",
            "agent": "me",
            "settings": {"A": "1"},
            "secrets": {"S": "x"},
            "left": True,
            "deadline": True,
        }
        assert [(item["r"], item["l"], item["m"]) for item in instance.log()] == [
            ("req-1", "info", "seen 1"),
            ("req-1", "warning", "plain"),
            ("req-1", "info", "printed"),
        ]
        assert instance.log()[0]["f"] == {"order": 7, "logger": "function"}


HOOKS = """
import json
started = []
def on_start(context):
    started.append(context.secrets["S"])
def on_stop(context):
    print("stopped", started)
def execute(input, context):
    return started
"""


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("hooks", ["def", "async def"])
def test_hooks_run_once_in_each_instance(tmp_path: Path, kind: str, hooks: str) -> None:
    source = HOOKS.replace("def on_", f"{hooks} on_").replace("def execute", f"{kind} execute")
    with Instance(tmp_path, source, secrets={"S": "x"}) as instance:
        assert instance.post(1).json == ["x"]
        instance.quit()
        assert "stopped ['x']" in [item["m"] for item in instance.log()]


def test_secrets_come_after_the_import(tmp_path: Path) -> None:
    with Instance(tmp_path, HOOKS, late_secrets=True, secrets={"S": "late"}) as instance:
        assert instance.post(1).json == ["late"]


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("error", ["RuntimeError('no database')", "SystemExit(1)"])
def test_a_failing_start_hook_fails_the_instance(tmp_path: Path, kind: str, error: str) -> None:
    source = f"def on_start(context):\n    raise {error}\n{kind} execute(input, context):\n    return 1\n"
    with Instance(tmp_path, source) as instance:
        assert instance.event["event"] == "failed"
        assert instance.event["code"] == "import_failed"
        assert error.partition("(")[0] in instance.event["message"]
        assert instance.wait() == 3


def test_answers_are_utf8_json(results: Instance) -> None:
    assert json.loads(results.post("text").body) == "ü"


NOTHING = """
def execute(input, context):
    if input == "tuple":
        return 202, {"X-Taken": "yes"}, None
    if input == "error":
        return 503, {}, None
    if input == "reply":
        return {"a": 1}
    return None
"""


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    # With a contract, as "nothing to say" is no result that it could speak of.
    with Instance(tmp_path_factory.mktemp("nothing"), NOTHING, output_schema={"type": "object"}) as instance:
        yield instance


BINARY = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/s", "ce_type": "t"}


@pytest.mark.parametrize(
    "sent",
    [
        post_json({"a": 1}, **BINARY),
        request("POST", "/", b"{}", content_type="application/cloudevents+json"),
        request("POST", "/", b"[]", content_type="Application/CloudEvents-Batch+json; charset=utf-8"),
    ],
)
def test_an_event_that_nothing_is_said_to_gets_an_empty_answer(nothing: Instance, sent: bytes) -> None:
    answer = nothing.call(sent)
    assert (answer.status, answer.body) == (204, b"")
    assert "content-type" not in answer.headers


def test_an_event_may_be_answered_with_a_status_and_nothing(nothing: Instance) -> None:
    answer = nothing.call(post_json("tuple", **BINARY))
    assert (answer.status, answer.body, answer.headers["x-taken"]) == (202, b"", "yes")
    # A failure is still one, so that the event comes again.
    assert nothing.call(post_json("error", **BINARY)).status == 503
    assert nothing.call(post_json("reply", **BINARY)).json == {"a": 1}


def test_without_an_event_nothing_is_null(tmp_path: Path) -> None:
    with Instance(tmp_path, "def execute(input, context):\n    return None\n") as instance:
        answer = instance.call(post_json({"a": 1}))
        assert (answer.status, answer.body) == (200, b"null")
