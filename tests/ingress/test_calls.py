"""Calls through a real HAProxy: routes, splits, headers, visibility, refusals and hashes."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.ingress.harness import World
from tests.ingress.objects import ingress, path, rule, split


@pytest.fixture
def echoes(shared: World) -> World:
    """Two backends, `one` and `two`."""
    for name in ("one", "two"):
        if name not in shared.backends:
            shared.echo(name)
    return shared


def test_a_call_reaches_the_backend_of_its_host(echoes: World) -> None:
    echoes.apply(ingress(rule(path(split("one")))))
    reply = echoes.call("/a?b=c")
    assert (reply.status, reply.backend, reply.said["path"]) == (200, "one", "/a?b=c")
    assert echoes.call(host="HELLO.example.com:8080").backend == "one"


def test_an_unknown_host_is_a_problem_of_the_gateways_own(echoes: World) -> None:
    echoes.apply(ingress(rule(path(split("one")))))
    for host in ("other.example.com", "hello.example.com.evil", "example.com", "xhello.example.com"):
        reply = echoes.call(host=host)
        assert (reply.status, json.loads(reply.body)["code"]) == (404, "no_such_function"), host
        assert reply.headers["content-type"] == "application/problem+json"


def test_a_host_cannot_smuggle_a_path(echoes: World) -> None:
    echoes.apply(ingress(rule(path(split("one"), path="/open"), host="a.example.com")))
    assert echoes.call("/open/x", host="a.example.com").status == 200
    with echoes.connect() as connection:
        connection.sendall(b"GET /closed HTTP/1.1\r\nHost: a.example.com/open\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.split(b" ")[1] in {b"400", b"404"}


def test_the_longest_prefix_wins(echoes: World) -> None:
    echoes.apply(ingress(rule(path(split("one")), path(split("two"), path="/api"))))
    assert [echoes.call(each).backend for each in ("/", "/ap", "/api", "/api/x")] == [
        "one",
        "one",
        "two",
        "two",
    ]


def test_a_split_keeps_its_percentages(echoes: World) -> None:
    echoes.apply(ingress(rule(path(split("one", 80), split("two", 20)))))
    seen = Counter(echoes.call().backend for _ in range(1_000))
    # Five standard deviations of a binomial: one run in two million is outside.
    assert abs(seen["two"] - 200) < 5 * (1_000 * 0.2 * 0.8) ** 0.5
    assert seen["one"] + seen["two"] == 1_000


def test_a_split_of_nothing_gets_no_call(echoes: World) -> None:
    echoes.apply(ingress(rule(path(split("one", 100), split("two", 0)))))
    assert {echoes.call().backend for _ in range(50)} == {"one"}


def test_headers_are_set_whatever_the_caller_sent(echoes: World) -> None:
    routed = split("one", 100, **{"Knative-Serving-Revision": "one-00001", "Who": "split"})
    echoes.apply(ingress(rule(path(routed, appendHeaders={"Who": "path", "Odd": "a|b c%20;\"'\\ü, d"}))))
    reply = echoes.call(headers={"Knative-Serving-Revision": "other", "who": "caller"})
    assert reply.got("Knative-Serving-Revision") == "one-00001"
    assert reply.got("who") == "split"
    assert (reply.got("odd") or "").encode("latin-1").decode() == "a|b c%20;\"'\\ü, d"


def test_the_host_is_rewritten(echoes: World) -> None:
    echoes.apply(ingress(rule(path(split("one"), rewriteHost="inner.fn.svc.cluster.local"))))
    assert echoes.call().got("host") == "inner.fn.svc.cluster.local"


def test_a_header_chooses_the_path(echoes: World) -> None:
    tagged = path(split("two"), headers={"Knative-Serving-Tag": {"exact": "canary"}})
    echoes.apply(ingress(rule(tagged, path(split("one")))))
    for value, backend in (("canary", "two"), ("", "one"), ("canary2", "one"), ("Canary", "one")):
        assert echoes.call(headers={"knative-serving-tag": value}).backend == backend, value
    assert echoes.call().backend == "one"


def test_more_headers_win_over_fewer_and_odd_values_match(echoes: World) -> None:
    odd = "a b|c=1/ü"
    both = {"X-One": {"exact": odd}, "X-Two": {"exact": "2"}}
    echoes.apply(
        ingress(
            rule(
                path(split("two"), headers=both),
                path(split("one"), headers={"X-Two": {"exact": "2"}}),
            )
        )
    )
    raw = odd.encode().decode("latin-1")
    assert echoes.call(headers={"X-One": raw, "X-Two": "2"}).backend == "two"
    assert echoes.call(headers={"X-One": "other", "X-Two": "2"}).backend == "one"
    assert echoes.call(headers={"X-One": raw}).status == 404


def test_a_local_host_is_not_there_for_callers_from_outside(echoes: World) -> None:
    echoes.apply(
        ingress(
            rule(path(split("one"))),
            rule(path(split("two")), host="hello.fn.svc.cluster.local", local=True),
        )
    )
    inside, outside = "hello.fn.svc.cluster.local", "hello.example.com"
    assert echoes.call(host=inside).status == 404
    assert echoes.call(host=inside, table="private").backend == "two"
    assert echoes.call(host=outside, table="private").status == 404
    assert echoes.call(host=outside).backend == "one"


def test_the_hash_of_the_rules_reaches_the_backend_when_asked_for(echoes: World) -> None:
    made = ingress(rule(path(split("one"))))
    echoes.apply(made)
    assert echoes.call(headers={"K-Network-Hash": "override"}).got("K-Network-Hash") == made.hash
    assert echoes.call(headers={"K-Network-Hash": "abc"}).got("K-Network-Hash") == "abc"
    assert echoes.call().got("K-Network-Hash") is None


def test_what_a_caller_says_of_itself_is_not_passed_on(echoes: World) -> None:
    echoes.apply(ingress(rule(path(split("one")), host="a.example.com")))
    claims = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https", "X-Ingot-Key-Id": "key_x"}
    reply = echoes.call(host="a.example.com", headers=claims)
    assert reply.got("x-forwarded-for") == "127.0.0.1"
    assert reply.got("x-forwarded-proto") == "http"
    assert reply.got("x-ingot-key-id") is None
    assert echoes.call(host="a.example.com", headers={"X-Request-Id": "mine"}).got("x-request-id") == "mine"
    assert reply.got("x-request-id")


def test_a_backend_without_an_address_is_unavailable(echoes: World) -> None:
    echoes.serve("empty")
    echoes.apply(ingress(rule(path(split("empty")))))
    reply = echoes.call()
    assert (reply.status, json.loads(reply.body)["code"]) == (503, "function_unavailable")
    assert echoes.verdict().pending is not None
