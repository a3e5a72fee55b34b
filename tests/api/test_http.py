"""What holds for every route: the one error shape, ids, headers, media types, limits, the document."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from control_plane.api.headers import SECURITY_HEADERS
from control_plane.api.schemas import Input, Output
from control_plane.errors import Unavailable
from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople

MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id", "errors"}


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "no_such_route"),
        ("GET", "/functions/", {}, 404, "no_such_route"),
        ("PATCH", "/functions", {}, 405, "method_not_allowed"),
        ("POST", "/functions", {"data": "{}", "content_type": "text/plain"}, 415, "unsupported_media_type"),
        ("POST", "/functions", {"data": "{", "content_type": "application/json"}, 400, "bad_request"),
        ("POST", "/functions", {"json": {"x": "y" * 1_100_000}}, 413, "too_large"),
        ("POST", "/functions", {"json": {"name": 5, "other": 1}}, 422, "invalid"),
        ("GET", "/functions?limit=101", {}, 422, "invalid"),
        ("GET", "/functions?colour=red", {}, 422, "invalid"),
        ("GET", "/functions?cursor=abc", {}, 422, "bad_cursor"),
        ("GET", "/functions?fields=name,secret", {}, 422, "invalid"),
        ("GET", "/functions/fn_none", {}, 404, "not_found"),
    ],
)
def test_every_error_has_the_one_shape(  # noqa: PLR0917  (each is one column)
    api: ApiWorld, people: ApiPeople, method: str, path: str, more: dict[str, object], status: int, code: str
) -> None:
    answer = api.person(people.owner).send(method, path, headers={"X-Request-Id": "mine-1"}, **more)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.text
    body = json.loads(answer.data)
    assert body.keys() >= MEMBERS
    assert (body["status"], body["code"], body["request_id"]) == (status, code, "mine-1")
    assert body["type"] == f"/docs/errors#{code}"
    assert body["instance"] == "/api/v1" + path.partition("?")[0]
    assert answer.headers["X-Request-Id"] == "mine-1"


def test_each_field_at_fault_is_named(api: ApiWorld, people: ApiPeople) -> None:
    body = api.person(people.owner).post("/functions", {"name": 5, "other": 1}).json
    assert {error["pointer"] for error in body["errors"]} == {"/project", "/name", "/other"}
    assert body["hint"]


def test_a_bug_shows_nothing_of_the_inside(
    api: ApiWorld, people: ApiPeople, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(type(api.services.functions), "list", fail)
    answer = api.person(people.owner).get("/functions")
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "swordfish" not in answer.text
    assert "swordfish" in caplog.text


def test_what_may_pass_says_when_to_come_back(
    api: ApiWorld, people: ApiPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Unavailable("The database does not answer.")

    monkeypatch.setattr(type(api.services.health), "check", fail)
    answer = api.nobody().get("//readyz")
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "path", ["//", "//welcome", "//assets/page.js", "//docs", "//livez", "/me", "/nowhere"]
)
def test_every_answer_carries_the_security_headers(api: ApiWorld, path: str) -> None:
    answer = api.nobody().get(path)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("offered", ["", "x" * 129, "a b", "naïve", "a\tb"])
def test_an_unusable_request_id_is_replaced(api: ApiWorld, offered: str) -> None:
    answer = api.nobody().get("//livez", headers={"X-Request-Id": offered})
    assert answer.headers["X-Request-Id"].startswith("req_")


def test_private_answers_are_not_stored(api: ApiWorld, people: ApiPeople) -> None:
    assert api.person(people.owner).get("/me").headers["Cache-Control"] == "no-store"


def test_the_document_is_valid_and_complete(api: ApiWorld) -> None:
    document = api.nobody().get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    validate(document)
    described = {
        (path, method)
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    routed = {
        (url.rule, method.lower())
        for url in api.app.url_map.iter_rules()
        for method in (url.methods or set()) - {"HEAD", "OPTIONS"}
        if url.rule.startswith("/api/v1/") and not url.rule.endswith("openapi.json")
    }
    # Streams are served by a process of its own.
    streams = {(path, method) for path, method in described if path.startswith("/api/v1/stream")}
    assert len(streams) == 2
    assert len(described - streams) == len(routed)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            where = f"{method} {path}"
            assert operation["summary"], where
            content = operation["responses"]["default"]["content"]
            assert content == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }
    assert "updated_at" in document["components"]["schemas"]["DraftOut"]["properties"]


def test_no_two_models_share_a_name(api: ApiWorld) -> None:
    # The document knows models by their names alone, so one of the two would be described as the other.
    def below(kind: type[Any]) -> Iterator[type[Any]]:
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    models = {one for kind in (Input, Output) for one in below(kind) if "[" not in one.__name__}
    names = Counter(one.__name__ for one in models)
    assert [name for name, count in names.items() if count > 1] == []


def test_metrics_show_routes_and_no_names(api: ApiWorld, people: ApiPeople) -> None:
    owner = api.person(people.owner)
    owner.get("/functions/a-private-name")
    owner.send("BREW", "/functions/a-private-name")
    text = owner.get("//metrics").text
    assert 'route="/api/v1/functions/<function>"' in text
    assert "a-private-name" not in text
    assert "BREW" not in text
    assert "ingot_http_request_duration_seconds_bucket" in text


def test_starters_can_be_downloaded(api: ApiWorld) -> None:
    names = [item["name"] for item in api.nobody().get("/starters").json["items"]]
    for name in names:
        assert api.nobody().get(f"/starters/{name}/archive").data[:2] == b"\x1f\x8b"
    assert api.nobody().get("/starters/..%2fruntimes/archive").status_code == 404
