"""Whatever is sent: no 5xx, no trace of the inside, and nothing of it in the log."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.routing import Rule

from control_plane.api.access import rule_of
from tests.api.route_recipes import CREATIONS, Filled, fill
from tests.support.api import ApiWorld, Person
from tests.support.api_fixtures import ApiPeople

CANARY = "canary-7f3a9c"
_QUICK = settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_MORE = settings(_QUICK, max_examples=200)
_TEXT = st.text(max_size=60) | st.sampled_from(
    ["", "0", "null", "..", "../..", "%00", "a" * 3_000, "1e400", "-1", "\u202e", "'; drop table users; --"]
)
# What bodies and queries hold may be secret; it must not be found in the log.
_SECRET = _TEXT | st.just(CANARY)
# Around the ends of what columns, JSON readers and counters hold.
_NUMBERS = st.integers() | st.sampled_from([0, -1, 2**31, 2**53, 2**63 - 1, 2**63, 10**30])
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.floats(allow_nan=False) | _SECRET,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=8,
)
# What a header may hold at all; a server never sees the rest.
_VISIBLE = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=80
)
_HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Accept",
            "Content-Type",
            "Cookie",
            "Idempotency-Key",
            "If-Match",
            "Last-Event-ID",
            "Origin",
            "Prefer",
            "Range",
            "Sec-Fetch-Site",
            "X-CSRF-Token",
            "X-Forwarded-For",
            "X-Request-Id",
        ]
    ),
    _VISIBLE,
    max_size=3,
)


@pytest.fixture
def owner(api: ApiWorld, people: ApiPeople) -> Person:
    api.world.drafted(people.author, "orders")
    return api.person(people.owner)


@pytest.fixture
def world(api: ApiWorld, people: ApiPeople) -> Filled:
    return fill(api, people)


def routes(api: ApiWorld) -> list[tuple[str, Rule]]:
    found = [
        (method, url)
        for url in api.app.url_map.iter_rules()
        if rule_of(api.app, url.endpoint) is not None and url.rule.startswith("/api/v1/")
        for method in sorted((url.methods or set()) - {"HEAD", "OPTIONS"})
    ]
    return sorted(found, key=lambda one: (one[1].rule, one[0]))


def filled(url: Rule, values: list[str], number: int) -> str:
    """Return the path with a quoted value for each variable."""
    path = url.rule.removeprefix("/api/v1")
    for place, name in enumerate(sorted(url.arguments)):
        value = quote(values[place % len(values)].replace("/", ""), safe="") or "orders"
        for form in (f"<{name}>", f"<path:{name}>"):
            path = path.replace(form, value)
        path = path.replace(f"<int:{name}>", str(abs(number)))
    return path


def check(answer: Any, log: str) -> None:
    assert answer.status_code < 500, (answer.status_code, answer.text[:500], log[-1500:])
    assert "Traceback" not in answer.text
    assert 'File "' not in answer.text
    assert "unhandled error" not in log
    assert CANARY not in log
    if answer.status_code >= 400:
        assert answer.content_type == "application/problem+json", answer.text[:500]


@_MORE
@given(st.data())
def test_no_request_breaks_the_api(
    api: ApiWorld, owner: Person, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    caplog.set_level(logging.DEBUG)
    method, url = data.draw(st.sampled_from(routes(api)))
    path = filled(url, data.draw(st.lists(_TEXT, min_size=3, max_size=3)), data.draw(_NUMBERS))
    names = _TEXT | st.sampled_from(["cursor", "limit", "fields", "from", "after", "project", "function"])
    query = data.draw(st.dictionaries(names, _SECRET | _NUMBERS.map(str), max_size=3))
    body = data.draw(_JSON | st.binary(max_size=200))
    more: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
    headers = data.draw(_HEADERS)
    if method == "GET":
        more = {}
    answer = owner.send(method, path, query_string=query, headers=headers, **more)
    check(answer, caplog.text)


@_QUICK
@given(st.data())
def test_no_field_of_a_known_body_breaks_the_api(
    api: ApiWorld, owner: Person, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    caplog.set_level(logging.DEBUG)
    document = api.app.extensions.setdefault("fuzzed", owner.get("/openapi.json").json)
    path, item = data.draw(st.sampled_from(sorted(document["paths"].items())))
    method = data.draw(st.sampled_from(sorted(set(item) - {"parameters"})))
    content = item[method].get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    body = {name: data.draw(_JSON | st.just(CANARY)) for name in schema.get("properties", {})}
    answer = owner.send(
        method.upper(), path.removeprefix("/api/v1").replace("{function}", "orders"), json=body
    )
    check(answer, caplog.text)


@_MORE
@given(st.data())
def test_no_single_field_of_a_good_body_breaks_the_api(
    api: ApiWorld, world: Filled, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    """One field after the other is something else, so that what lies behind the models is reached."""
    caplog.set_level(logging.DEBUG)
    document = api.app.extensions.setdefault("fuzzed", world.owner.get("/openapi.json").json)
    path, good = data.draw(st.sampled_from(sorted(CREATIONS.items(), key=str)))
    body = document["paths"][f"/api/v1{path}"]["post"].get("requestBody", {})
    named = body.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
    fields = document["components"]["schemas"].get(named.rpartition("/")[2], {}).get("properties", {})
    if not fields:
        return
    changed = {data.draw(st.sampled_from(sorted(fields))): data.draw(_JSON)}
    check(world.owner.post(world.address(path), {**good, **changed}), caplog.text)


@_QUICK
@given(
    content=st.binary(max_size=2_000), kind=st.sampled_from(["x-tar", "gzip", "zip"]), cut=st.integers(0, 512)
)
def test_no_archive_breaks_the_api(
    owner: Person, caplog: pytest.LogCaptureFixture,
    content: bytes, kind: str, cut: int,
) -> None:  # fmt: skip
    archive = owner.get("/functions/orders/draft/archive").data
    etag = owner.get("/functions/orders/draft").headers["ETag"]
    headers = {"If-Match": etag, "Content-Type": f"application/{kind}"}
    for sent in (content, archive[:cut] + content, archive[:-1] + content):
        answer = owner.send("PUT", "/functions/orders/draft/archive", data=sent, headers=headers)
        check(answer, caplog.text)


@_QUICK
@given(changed=st.integers(0, 200), to=st.integers(0, 255), junk=_TEXT)
def test_no_forged_cursor_is_believed(api: ApiWorld, owner: Person, changed: int, to: int, junk: str) -> None:
    for number in range(3):
        owner.post("/projects", {"name": f"more-{number}"})
    cursor = owner.get("/projects?limit=1").json["next_cursor"]
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=="))
    place = changed % len(raw)
    forged = [junk]
    if raw[place] != to:
        raw[place] = to
        forged.append(base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("="))
    for one in forged:
        answer = owner.get("/projects", query_string={"limit": "1", "cursor": one})
        assert answer.status_code == 422, (one, answer.text)
        assert json.loads(answer.data)["code"] in {"bad_cursor", "invalid"}


@_QUICK
@given(st.data())
def test_no_list_believes_a_changed_cursor(api: ApiWorld, owner: Person, data: st.DataObject) -> None:
    """Whatever a list is asked for behind, it answers with a page of its own or refuses."""
    document = api.app.extensions.setdefault("fuzzed", owner.get("/openapi.json").json)
    paths = [
        path.removeprefix("/api/v1")
        for path, item in sorted(document["paths"].items())
        if {"cursor"} <= {one["name"] for one in item.get("get", {}).get("parameters", ())}
        and "{" not in path
    ]
    assert len(paths) > 12
    sealed = api.app.extensions["ingot"].cursors
    path = data.draw(st.sampled_from(paths))
    # Signed for another list, or made of anything: its own key is the only one that fits.
    cursor = sealed.seal(data.draw(st.sampled_from([f"{path}x", "/api/v1/none"])), data.draw(_JSON))
    changed = data.draw(st.sampled_from([cursor, cursor[:-1], cursor[1:], f"{cursor}=", cursor.swapcase()]))
    answer = owner.get(path, query_string={"cursor": changed, "project": "main"})
    assert answer.status_code == 422, (path, changed, answer.text)


def test_what_is_secret_stays_out_of_the_log(
    api: ApiWorld, people: ApiPeople, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    owner = api.person(people.owner)
    owner.put("/projects/main/secrets/PIN", {"value": CANARY})
    owner.post("/tokens", {"name": CANARY})
    owner.post("/sessions", {"email": "owner@acme.example", "password": CANARY})
    owner.get(f"/functions?cursor={CANARY}")
    api.nobody().get("/me", headers={"Authorization": f"Bearer ingt_{CANARY}"})
    assert CANARY not in caplog.text
