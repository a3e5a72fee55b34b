"""The guides hang together: every one is reachable, every link leads somewhere, nothing is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from control_plane.api.guide_markdown import link_target, render
from control_plane.api.guide_page import groups, page
from control_plane.cli.main import cli
from control_plane.cli.reference import cli_reference
from control_plane.settings import options

DOCS = Path(__file__).parents[2] / "control_plane" / "docs"
# Made from the running application, so no file holds them.
GENERATED = {"/docs/api-reference", "/docs/adr"}


def guides() -> list[Path]:
    return sorted(DOCS.rglob("*.md"))


def name_of(path: Path) -> str:
    return path.relative_to(DOCS).with_suffix("").as_posix()


def links(text: str) -> Iterator[str]:
    outside = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", outside)


def test_every_guide_stands_in_the_index() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    listed = {address.partition("#")[0] for group in groups(index) for _, address in group.links}
    there = {f"/docs/{name_of(path)}" for path in guides() if path.parent == DOCS and path.stem != "index"}
    assert listed == there | GENERATED


@pytest.mark.parametrize("path", guides(), ids=name_of)
def test_every_link_leads_to_a_guide_and_a_place_on_it(path: Path) -> None:
    for href in links(path.read_text("utf-8")):
        target = link_target(name_of(path), href)
        assert target is not None, f"{href} leads nowhere"
        if target.startswith("http"):
            continue
        address, _, anchor = target.partition("#")
        if address in GENERATED:
            continue
        found = DOCS / f"{address.removeprefix('/docs/')}.md" if address else path
        assert found.is_file(), f"{href}: there is no {found.name}"
        body = render(name_of(found), found.read_text("utf-8")).html
        assert not anchor or f'id="{anchor}"' in body, f"{href}: {found.name} has no such place"


def codes_of(page_name: str) -> set[str]:
    rows = re.findall(r"^\| ([^|]+) \|", (DOCS / page_name).read_text("utf-8"), re.MULTILINE)
    return {code for row in rows for code in re.findall(r"`(\w+)`", row)}


def test_troubleshooting_says_what_to_do_about_every_code() -> None:
    section = (DOCS / "troubleshooting.md").read_text("utf-8").partition("## What to do about each code")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    assert set(rows) == codes_of("errors.md")
    assert all(len(answer) > 15 for answer in rows.values())


def test_errors_link_to_the_row_of_their_code() -> None:
    body = render("errors", (DOCS / "errors.md").read_text("utf-8")).html
    assert {code for code in codes_of("errors.md") if f'id="{code}"' not in body} == set()


def test_the_cli_reference_is_fresh() -> None:
    written = (DOCS / "cli-reference.md").read_text("utf-8")
    assert written == cli_reference(cli), "Run: scripts/cli_page.py > control_plane/docs/cli-reference.md"


def test_the_cli_reference_names_every_option() -> None:
    @click.group()
    def root() -> None:
        """Do things."""

    @root.command()
    @click.option("--colour", type=click.Choice(["red", "blue"]), help="Of the thing | its edge.")
    @click.argument("name")
    def paint(colour: str, name: str) -> None:
        """Paint NAME."""

    text = cli_reference(root)
    assert "## ingot paint" in text
    assert "Paint NAME." in text
    row = re.search(r"^\| `--colour .*\| Of the thing \\\| its edge\. \|$", text, re.MULTILINE)
    assert row is not None
    assert "<td><code>--colour [red|blue]</code></td>" in render("cli-reference", text).html


def test_every_setting_is_on_its_page() -> None:
    text = (DOCS / "settings.md").read_text("utf-8")
    assert [name for _, name, _, _ in options() if f"| `{name}` |" not in text] == []


HOSTILE = """# Title <script>alert(1)</script>

<script>alert(2)</script> <img src=x onerror=alert(3)>

[a](javascript:alert(4)) [b](data:text/html,x) [c](//evil.example/x) [d](../../settings.py) ![e](http://x/y.png)

| a |
|:-:|
| `one_code` <b>x</b> |

[good](errors.md#four_eyes) [out](https://example.com) [deep](adr/0001-x.md)
"""


def test_rendering_lets_nothing_active_through() -> None:
    html = page("guide", HOSTILE, "# Index\n\n## Group\n- [<b>Bold</b>](a.md): text\n")
    for active in ("<script", "<img src=x", '"javascript:', '"data:', "style=", "evil.example", "<b>"):
        assert active not in html, active
    assert not re.search(r"\son\w+=", re.sub(r"&[a-z]+;[^<]*", "", html))
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in html
    assert '<a href="/docs/errors#four_eyes">good</a>' in html
    assert '<a href="https://example.com" rel="noreferrer">out</a>' in html
    assert '<tr id="one_code">' in html
    assert '<a href="/docs/a">&lt;b&gt;Bold&lt;/b&gt;</a>' in html


def test_headings_have_places_of_their_own() -> None:
    rendered = render("guide", "# A b\n\n## Same\n\n## Same\n\n## `GET /x`\n")
    assert [heading.anchor for heading in rendered.headings] == ["a-b", "same", "same-2", "get-x"]
    assert rendered.title == "A b"
