"""The first page in a real browser: set up the owner, sign out, sign in, see what waits."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.domain.access import Role
from tests.support.browser import Browser, Page, chromium, open_browser
from tests.support.builders import PASSWORD
from tests.support.live_api import LiveApi

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine"),
]


@pytest.fixture
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


def visible(section: str) -> str:
    return f"!document.getElementById({section!r}).hidden"


def submit(page: Page, form: str, **values: str) -> None:
    for name, value in values.items():
        page.run(f"document.querySelector('#{form} [name={name}]').value = {json.dumps(value)}")
    page.run(f"document.getElementById({form!r}).requestSubmit()")


def test_the_first_owner_arrives_by_the_one_time_link(live: LiveApi, browser: Browser) -> None:
    token = live.api.world.accounts.open_claim()
    page = browser.open(f"{live.url}/welcome#token={token}")
    page.wait(visible("set-up"))
    assert page.run("location.href") == f"{live.url}/welcome", "the token left the address bar"
    submit(
        page, "set-up-form", name="Olga", email="olga@acme.example", password=PASSWORD, organization="acme"
    )
    page.wait(visible("home"))
    page.wait("document.body.innerText.includes('No functions yet')")
    assert page.run("document.getElementById('who').textContent") == "olga@acme.example"
    assert page.run("document.cookie") == "", "no script can read the session"


def test_a_member_signs_in_sees_what_waits_and_leaves(live: LiveApi, browser: Browser) -> None:
    world = live.api.world
    owner = world.owner()
    author = world.member(owner, "ada", Role.AUTHOR)
    version = world.frozen(author, "orders")
    world.reviews.submit(author, "orders", version.number, note="<img src=x onerror=alert(1)>")
    page = browser.open(live.url)
    page.wait(visible("sign-in"))
    submit(page, "sign-in-form", email="owner@acme.example", password="wrong")
    page.wait("!document.getElementById('problem').hidden")
    assert "is wrong" in page.run("document.getElementById('problem').textContent")
    submit(page, "sign-in-form", email="owner@acme.example", password=PASSWORD)
    page.wait(visible("home"))
    page.wait("document.querySelectorAll('#reviews tbody tr').length === 1")
    page.wait("document.getElementById('functions').innerText.includes('orders')")
    assert version.digest in page.run("document.getElementById('reviews').innerText")
    keep_picture(page)
    page.go(live.url + "/")
    page.wait(visible("home"))
    page.run("document.getElementById('sign-out').click()")
    page.wait(visible("sign-in"))
    assert page.run("fetch('/api/v1/me').then(answer => answer.status)") == 401


def test_a_one_time_password_is_changed_on_the_page(live: LiveApi, browser: Browser) -> None:
    owner = live.api.world.owner()
    made = live.api.world.members.invite(owner, email="new@acme.example", name="New", role=Role.VIEWER)
    page = browser.open(live.url)
    page.wait(visible("sign-in"))
    submit(page, "sign-in-form", email="new@acme.example", password=made.one_time_password)
    page.wait(visible("change"))
    submit(page, "change-form", current_password=made.one_time_password, new_password="a sentence of my own")
    page.wait(visible("home"))


def test_the_page_runs_no_script_but_its_own(live: LiveApi, browser: Browser) -> None:
    page = browser.open(live.url)
    page.wait(visible("sign-in"))
    page.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.inline = 1';"
        " document.body.append(s); })()"
    )
    assert page.run("window.inline === undefined")


def keep_picture(page: Page) -> None:
    """Write a picture where the environment asks for one, for a person to look at."""
    folder = os.environ.get("INGOT_PICTURES")
    if folder:
        Path(folder, "home.png").write_bytes(base64.b64decode(page.screenshot()))
