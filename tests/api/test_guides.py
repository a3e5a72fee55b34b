"""The guides over HTTP: pages for browsers, text for everybody else, nothing from outside the folder."""

from __future__ import annotations

import re

import pytest

from control_plane.api.api_reference import api_reference
from control_plane.api.guides import DOCS
from tests.support.api import ApiWorld

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "text/plain"),
        ("*/*", "text/plain"),
        ("text/plain", "text/plain"),
        ("text/markdown", "text/plain"),
        ("application/json", "text/plain"),
        ("text/plain;q=0.2, text/html;q=0.1", "text/plain"),
        ("text/html", "text/html"),
        (BROWSER["Accept"], "text/html"),
    ],
)
def test_who_asks_for_a_page_gets_one(api: ApiWorld, accept: str | None, kind: str) -> None:
    headers = {"Accept": accept} if accept else {}
    for path in ("//docs", "//docs/errors", "//docs/api-reference", "//docs/adr"):
        answer = api.nobody().get(path, headers=headers)
        assert (answer.status_code, answer.content_type) == (200, f"{kind}; charset=utf-8"), path
        assert answer.headers["Vary"] == "Accept"


def test_an_address_with_md_behind_it_is_always_text(api: ApiWorld) -> None:
    answer = api.nobody().get("//docs/errors.md", headers=BROWSER)
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.text == (DOCS / "errors.md").read_text("utf-8")


def test_every_page_renders_without_script_or_inline_style(api: ApiWorld) -> None:
    nobody = api.nobody()
    names = [path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")]
    for name in [*names, "api-reference", "adr"]:
        answer = nobody.get(f"//docs/{name}", headers=BROWSER)
        assert answer.status_code == 200, name
        assert "<script" not in answer.text, name
        assert "<style" not in answer.text, name
        assert not re.search(r"<[^>]+\s(style|on\w+)=", answer.text), name
        anchors = re.findall(r'\sid="([^"]+)"', answer.text)
        assert len(anchors) == len(set(anchors)), name


def test_links_of_the_shell_lead_somewhere(api: ApiWorld) -> None:
    nobody = api.nobody()
    text = nobody.get("//docs", headers=BROWSER).text
    for address in set(re.findall(r'(?:href|src)="(/[^"#]*)', text)):
        assert nobody.get(f"/{address}", headers=BROWSER).status_code == 200, address


def test_the_link_of_an_error_leads_to_its_row(api: ApiWorld) -> None:
    nobody = api.nobody()
    path, _, anchor = nobody.get("/nowhere").json["type"].partition("#")
    assert f'<tr id="{anchor}">' in nobody.get(f"/{path}", headers=BROWSER).text


def test_nothing_beside_the_guides_is_served(api: ApiWorld) -> None:
    for path in (
        "//docs/../errors",
        "//docs/..%2f..%2fsettings",
        "//docs/none",
        "//docs/adr/none",
        "//docs/",
    ):
        answer = api.nobody().get(path, headers=BROWSER)
        assert answer.status_code == 404, path


def test_the_reference_has_every_route_and_object(api: ApiWorld) -> None:
    document = api.nobody().get("/openapi.json").json
    text = api.nobody().get("//docs/api-reference").text
    for path, item in document["paths"].items():
        for method in set(item) - {"parameters"}:
            assert f"\n### {method.upper()} {path}\n" in text
    for name in document["components"]["schemas"]:
        assert f"\n### {name}\n" in text
    # Every object that is linked to stands on the page.
    for anchor in set(re.findall(r"\]\(#([^)]+)\)", text)):
        assert re.search(rf"^### {anchor}$", text, re.MULTILINE | re.IGNORECASE), anchor


def test_the_reference_escapes_what_would_break_its_tables() -> None:
    parameters = [
        {"name": "a|b", "in": "query", "schema": {"enum": ["x|y", "z"]}, "description": "One | two\nthree"}
    ]
    operation = {
        "summary": "Do <it>",
        "parameters": parameters,
        "responses": {"204": {"description": "Done"}},
    }
    text = api_reference({"paths": {"/x": {"get": operation}}})
    assert "| `a\\|b` (optional) | query | `x\\|y` or `z` | One \\| two three |" in text
