"""Sessions: who a browser's request comes from, and which pages may not borrow it."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.api.state import ApiOptions
from control_plane.api.stream_credentials import credential_of
from control_plane.errors import Unauthenticated
from tests.support.api import ORIGIN, ApiWorld
from tests.support.api_fixtures import ApiPeople
from tests.support.builders import PASSWORD

OWN_READ = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def browser(api: ApiWorld, people: ApiPeople) -> tuple[Any, str]:
    """Return a signed-in browser and its CSRF token."""
    client = api.client()
    answer = sign_in(client)
    assert answer.status_code == 201, answer.text
    return client, answer.json["csrf_token"]


def sign_in(client: Any, password: str = PASSWORD, **headers: str) -> Any:
    body = {"email": "owner@acme.example", "password": password}
    return client.post("/api/v1/sessions", json=body, headers={"Origin": ORIGIN, **headers})


def test_the_cookie_is_for_this_port_and_for_no_script(api: ApiWorld, people: ApiPeople) -> None:
    cookie = sign_in(api.client()).headers["Set-Cookie"]
    assert cookie.startswith("ingot_session_8080=ings_")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))


def test_the_first_owner_sets_up_with_the_one_time_token_once(api: ApiWorld) -> None:
    body = {
        "token": api.world.accounts.open_claim(),
        "organization": "acme",
        "name": "Olga",
        "email": "olga@acme.example",
        "password": "a rather long sentence",
    }
    client = api.client()
    wrong = client.post("/api/v1/setup", json={**body, "token": "ingc_wrong"})
    assert wrong.status_code == 401
    made = client.post("/api/v1/setup", json=body)
    assert made.status_code == 201, made.text
    me = client.get("/api/v1/me", headers=OWN_READ).json
    assert (me["user"]["email"], me["organization"]["name"]) == ("olga@acme.example", "acme")
    assert me["csrf_token"] == made.json["csrf_token"]
    assert client.post("/api/v1/setup", json=body).status_code == 401


def test_a_session_that_another_page_planted_beside_the_own_counts_for_nobody(
    api: ApiWorld, browser: tuple[Any, str]
) -> None:
    client, _ = browser
    own = client.get_cookie("ingot_session_8080").value
    planted = sign_in(api.client()).headers["Set-Cookie"].partition(";")[0]
    for cookie in (f"{planted}; ingot_session_8080={own}", f"ingot_session_8080={own}; {planted}"):
        answer = api.nobody().get("/me", headers={"Cookie": cookie, **OWN_READ})
        assert answer.status_code == 401, answer.text
        assert "Two session cookies" in answer.json["detail"]
        removed = answer.headers.getlist("Set-Cookie")
        paths = {part for line in removed for part in line.split("; ") if part.startswith("Path=")}
        assert paths == {
            f"Path={path}" for path in ("/api", "/api/", "/api/v1", "/api/v1/", "/api/v1/me", "/api/v1/me/")
        }
        assert all("Max-Age=0" in line for line in removed)
        with pytest.raises(Unauthenticated, match="Two session cookies"):
            credential_of({"cookie": cookie, "sec-fetch-site": "same-origin"}, ApiOptions())
    same = f"ingot_session_8080={own}"
    assert api.nobody().get("/me", headers={"Cookie": f"{same}; {same}", **OWN_READ}).status_code == 200


@pytest.mark.parametrize("site", ["same-site", "cross-site", None, "none, same-origin"])
def test_a_read_with_the_cookie_comes_from_the_own_page(browser: tuple[Any, str], site: str | None) -> None:
    client, _ = browser
    assert client.get("/api/v1/me", headers=OWN_READ).status_code == 200
    assert client.get("/api/v1/me", headers={"Sec-Fetch-Site": "none"}).status_code == 200
    headers = {} if site is None else {"Sec-Fetch-Site": site}
    answer = client.get("/api/v1/me", headers=headers)
    assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    "origin",
    [
        "http://127.0.0.1:8081",
        "http://127.0.0.1",
        "https://127.0.0.1:8080",
        "http://127.0.0.1:8080.evil.example",
        "null",
        "",
    ],
)
def test_a_change_from_another_origin_is_refused_with_any_credential(
    api: ApiWorld, people: ApiPeople, browser: tuple[Any, str], origin: str
) -> None:
    client, csrf = browser
    headers = {**OWN_READ, "Origin": origin, "X-CSRF-Token": csrf}
    answer = client.post("/api/v1/tokens", json={"name": "mine"}, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (403, "bad_origin")
    answer = api.person(people.owner).post("/tokens", {"name": "mine"}, headers={"Origin": origin})
    assert (answer.status_code, answer.json["code"]) == (403, "bad_origin")
    assert sign_in(api.client(), Origin=origin).status_code == 403


def test_a_change_with_the_cookie_needs_the_token_of_its_own_session(
    api: ApiWorld, people: ApiPeople, browser: tuple[Any, str]
) -> None:
    client, csrf = browser
    other = sign_in(api.client()).json["csrf_token"]
    own = {**OWN_READ, "Origin": ORIGIN}
    for wrong in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": other}, {"X-CSRF-Token": "é"}):
        answer = client.post("/api/v1/tokens", json={"name": "mine"}, headers={**own, **wrong})
        assert (answer.status_code, answer.json["code"]) == (403, "csrf_failed")
    answer = client.post("/api/v1/tokens", json={"name": "mine"}, headers={**OWN_READ, "X-CSRF-Token": csrf})
    assert (answer.status_code, answer.json["code"]) == (403, "bad_origin")
    made = client.post("/api/v1/tokens", json={"name": "mine"}, headers={**own, "X-CSRF-Token": csrf})
    assert made.status_code == 201


def test_signing_out_ends_the_session_for_every_copy_of_the_cookie(
    api: ApiWorld, browser: tuple[Any, str]
) -> None:
    client, csrf = browser
    stolen = client.get_cookie("ingot_session_8080")
    assert stolen is not None
    left = client.delete(
        "/api/v1/sessions/current", headers={**OWN_READ, "Origin": ORIGIN, "X-CSRF-Token": csrf}
    )
    assert left.status_code == 204
    assert client.get_cookie("ingot_session_8080") is None
    thief = api.client()
    thief.set_cookie("ingot_session_8080", stolen.value)
    assert thief.get("/api/v1/me", headers=OWN_READ).status_code == 401


def test_a_session_is_no_token_and_a_token_no_session(
    api: ApiWorld, people: ApiPeople, browser: tuple[Any, str]
) -> None:
    client, _ = browser
    cookie = client.get_cookie("ingot_session_8080")
    assert cookie is not None
    as_token = api.nobody().get("/me", headers={"Authorization": f"Bearer {cookie.value}"})
    assert as_token.status_code == 401
    for header in ("Bearer", "Basic abc", "Bearer ingt_", "Bearer ingt_a_b_c", "bearer  "):
        assert api.nobody().get("/me", headers={"Authorization": header}).status_code == 401


def test_a_wrong_header_is_not_forgiven_because_of_a_cookie(browser: tuple[Any, str]) -> None:
    client, _ = browser
    headers = {**OWN_READ, "Authorization": "Bearer wrong"}
    assert client.get("/api/v1/me", headers=headers).status_code == 401


def test_a_revoked_token_is_dead_at_once(api: ApiWorld, people: ApiPeople) -> None:
    owner = api.person(people.owner)
    made = owner.post("/tokens", {"name": "laptop"}).json
    bearer = {"Authorization": f"Bearer {made['text']}"}
    assert api.nobody().get("/me", headers=bearer).status_code == 200
    assert owner.delete(f"/tokens/{made['token']['id']}").status_code == 204
    assert api.nobody().get("/me", headers=bearer).status_code == 401
    assert made["text"] not in owner.get("/tokens").text


def test_guessing_is_slowed_down(api: ApiWorld, people: ApiPeople) -> None:
    codes = [sign_in(api.client(), "wrong password").status_code for _ in range(6)]
    assert codes[:3] == [401, 401, 401]
    assert 429 in codes
