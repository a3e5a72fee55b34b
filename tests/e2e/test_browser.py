"""A real browser: a hostile function's page, opened by a signed-in reviewer, reads and changes nothing."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import hostile_page
from tests.support.browser import Browser, Page, chromium, open_browser
from tests.support.system import System, running_system

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine"),
]

_PASSWORD = "correct horse battery staple"
_HONEST = {"ingot.toml": "", "main.py": "def execute(input, context):\n    return 1\n"}


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with running_system() as running:
        running.publish("target", _HONEST)
        running.key("target")
        yield running


@pytest.fixture
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def review(system: System) -> dict[str, Any]:
    """A review that waits for the reviewer."""
    number = len(system.people["author"].call("GET", "/functions/target/versions")["items"])
    source = f"def execute(input, context):\n    return {number + 1}\n"
    version = system.freeze("target", _HONEST | {"main.py": source})
    made: dict[str, Any] = system.people["author"].call(
        "POST", "/functions/target/reviews", json={"version": version["number"]}
    )
    return made


def sign_in(system: System, browser: Browser, email: str = "reviewer@example.com") -> Page:
    page = browser.open(system.console + "/")
    page.wait("!document.getElementById('sign-in').hidden")
    for name, value in {"email": email, "password": _PASSWORD}.items():
        page.run(f"document.querySelector('#sign-in-form [name={name}]').value = {json.dumps(value)}")
    page.run("document.getElementById('sign-in-form').requestSubmit()")
    page.wait("!document.getElementById('home').hidden")
    return page


def changes(system: System, review: dict[str, Any]) -> list[list[Any]]:
    """Return every unsafe operation of the API with an address and a body that would work."""
    owner = system.people["owner"]
    (key, *_) = owner.call("GET", "/projects/main/api-keys")["items"]
    (member, *_) = owner.call("GET", "/members")["items"]
    (token, *_) = owner.call("GET", "/tokens")["items"]
    values = {
        "{review}": review["id"],
        "{function}": "target",
        "{project}": "main",
        "{name}": "NAME",
        "{number}": "1",
        "{path}": "main.py",
        "{api_key}": key["id"],
        "{user}": member["user"]["id"] if "user" in member else member["id"],
        "{token}": token["id"],
    }
    bodies: dict[str, Any] = {
        "/approve": {"digest": review["digest"]},
        "/reject": {"reason": "no"},
        "/comments": {"text": "hello"},
        "/withdraw": {},
        "/releases": {"version": 1},
        "/rollback": {},
        "/tokens": {"name": "stolen", "days": 30},
        "/members": {"email": "evil@example.com", "name": "Evil", "role": "owner"},
        "/api-keys": {"name": "stolen"},
        "/functions": {"name": "evil", "project": "main"},
        "/projects": {"name": "evil"},
        "/secrets/NAME": {"value": "x"},
        "/settings/NAME": {"value": "x"},
        "/me/password": {"current_password": _PASSWORD, "new_password": _PASSWORD + "!"},
        "/sessions": {"email": "author@example.com", "password": _PASSWORD},
    }
    found = []
    for path, operations in owner.call("GET", "/openapi.json")["paths"].items():
        address = path
        for name, value in values.items():
            address = address.replace(name, value)
        body: Any = next((body for end, body in bodies.items() if address.endswith(end)), {})
        found += [
            [method.upper(), address, body]
            for method in operations
            if method in ("post", "put", "patch", "delete")
        ]
    assert len(found) > 25
    return found


def everything(system: System) -> dict[str, Any]:
    """Return all that an attack could have changed, as the owner sees it."""
    owner = system.people["owner"]
    lists = (
        "/functions",
        "/members",
        "/projects",
        "/reviews",
        "/projects/main/api-keys",
        "/projects/main/settings",
    )
    found = {
        path: owner.call("GET", path) for path in (*lists, "/functions/target", "/functions/target/draft")
    }
    for name in ("releases", "versions"):
        found[name] = owner.call("GET", f"/functions/target/{name}")
    for person in system.people.values():
        tokens = person.call("GET", "/tokens")["items"]
        found[f"tokens of {person.email}"] = [(one["id"], one["name"]) for one in tokens]
    found["audit"] = audit(system)
    return found


def audit(system: System) -> list[str]:
    hashes: list[str] = []
    cursor = ""
    while True:
        page = system.people["owner"].call("GET", f"/audit?limit=100{cursor}")
        hashes += [f"{entry['action']} {entry['hash']}" for entry in page["items"]]
        if not page["next_cursor"]:
            return hashes
        cursor = f"&cursor={page['next_cursor']}"


def publish_page(system: System, name: str, review: dict[str, Any], manifest: str, session: str = "") -> str:
    facts = {
        "review": review["id"],
        "digest": review["digest"],
        "changes": changes(system, review),
        "session": session,
    }
    system.publish(name, hostile_page.files(system.console, system.console_port, facts, manifest))
    return system.url(name)


def picture(page: Page, name: str) -> None:
    """Write a picture where the environment asks for one, for a person to look at."""
    if folder := os.environ.get("INGOT_PICTURES"):
        Path(folder, f"{name}.png").write_bytes(base64.b64decode(page.screenshot()))


def still_the_reviewer(console: Page) -> None:
    me = console.run("fetch('/api/v1/me').then(answer => answer.json())")
    assert me["user"]["email"] == "reviewer@example.com"


def test_a_hostile_page_with_scripts_reads_and_changes_nothing(
    system: System, browser: Browser, review: dict[str, Any]
) -> None:
    url = publish_page(system, "scripted", review, "unsandboxed_page = true")
    console = sign_in(system, browser)
    before = everything(system)
    page = browser.open(url)
    page.wait("window.done", 200)
    picture(page, "hostile")
    tried = page.run("tried")
    assert page.run("leaks") == []
    assert len(tried) > 100, "the page must really have tried"
    assert {"EventSource", "WebSocket", "frame's document", "worker for /"} <= set(tried)
    seen = page.run("seen")
    assert not {"cookie", "authorization", "x-api-key"} & set(seen), seen
    assert (
        page.run("fetch(location.pathname + '/echo').then(answer => answer.json())")["headers"].get("cookie")
        is None
    )
    cookies = browser.send("Storage.getCookies")["cookies"]
    assert [one["name"] for one in cookies] == [f"ingot_session_{system.console_port}"]
    assert everything(system) == before
    still_the_reviewer(console)


def test_a_page_is_sandboxed_unless_its_author_asked_and_was_reviewed(
    system: System, browser: Browser, review: dict[str, Any]
) -> None:
    url = publish_page(system, "sandboxed", review, "")
    console = sign_in(system, browser)
    before = everything(system)
    answer = httpx.get(url)
    # The author's own policy stands beside it; a browser obeys both.
    assert "sandbox" in answer.headers.get_list("content-security-policy")
    page = browser.open(url)
    assert page.run("document.title") == "A report"
    assert page.run("window.tried === undefined"), "no script of the page may run"
    assert page.run("self.origin") == "null", "it has no origin that anything could be stored for"
    # What a person could be talked into: sending the page's form.
    page.run("document.getElementById('approve').submit()")
    time.sleep(0.5)
    assert everything(system) == before
    still_the_reviewer(console)


def test_a_session_that_a_page_plants_does_not_become_the_reviewers(
    system: System, browser: Browser, review: dict[str, Any]
) -> None:
    proof = {"Origin": system.console, "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=system.console) as http:
        body = {"email": "author@example.com", "password": _PASSWORD}
        assert http.post("/api/v1/sessions", json=body, headers=proof).status_code == 201
        foreign = http.cookies[f"ingot_session_{system.console_port}"]
    facts = {"review": review["id"], "digest": review["digest"], "changes": [], "session": foreign}
    files = hostile_page.files(system.console, system.console_port, facts, "unsandboxed_page = true")
    system.publish("planting", files)
    console = sign_in(system, browser)
    page = browser.open(system.url("planting"))
    page.wait("window.done", 100)
    assert "foreign session set" in page.run("tried")
    answer = console.run("fetch('/api/v1/me').then(async answer => [answer.status, await answer.text()])")
    assert "author@example.com" not in answer[1], "the reviewer must never act as somebody else"
    if answer[0] == 401:
        assert "cookie" in answer[1], "and must be told what to do"


def test_the_consoles_own_page_can_do_what_the_hostile_one_could_not(
    system: System, browser: Browser, review: dict[str, Any]
) -> None:
    console = sign_in(system, browser)
    console.wait("document.getElementById('functions').innerText.includes('target')")
    console.wait("document.getElementById('reviews').innerText.includes('target')")
    picture(console, "console")
    assert "target" in console.run("document.getElementById('functions').innerText")
    assert review["digest"] in console.run("document.getElementById('reviews').innerText")
    before = audit(system)
    approval = json.dumps({"digest": review["digest"]})
    status = console.run(
        "fetch('/api/v1/me').then(answer => answer.json()).then(me => "
        f"fetch('/api/v1/reviews/{review['id']}/approve', {{method: 'POST', body: {json.dumps(approval)}, "
        "headers: {'Content-Type': 'application/json', 'X-CSRF-Token': me.csrf_token}})"
        ").then(answer => answer.status)"
    )
    assert status == 200
    assert len(audit(system)) > len(before)
    assert system.people["owner"].call("GET", f"/reviews/{review['id']}")["state"] == "approved"
    opened = console.run(
        "new Promise(yes => { const s = new EventSource('/api/v1/stream');"
        " s.onopen = () => { s.close(); yes('open'); }; s.onerror = () => yes('error'); })"
    )
    assert opened == "open"


def test_the_first_owner_claims_by_the_link_and_finds_the_console() -> None:
    with running_system(set_up=False) as system, open_browser() as browser:
        token = (system.data / "keys" / "owner-link").read_text().strip()
        page = browser.open(f"{system.console}/welcome#token={token}")
        page.wait("!document.getElementById('set-up').hidden")
        picture(page, "welcome")
        values = {"name": "Olga", "email": "olga@example.com", "password": _PASSWORD, "organization": "acme"}
        for name, value in values.items():
            page.run(f"document.querySelector('#set-up-form [name={name}]').value = {json.dumps(value)}")
        page.run("document.getElementById('set-up-form').requestSubmit()")
        page.wait("!document.getElementById('home').hidden")
        page.wait("document.body.innerText.includes('No functions yet')")
        assert token not in page.run("location.href")
        picture(page, "first-home")
