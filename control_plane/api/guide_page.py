"""The page around a guide: head, list of guides, contents. No script, no inline style.

The list of guides is what index.md says, so a reader of the checkout and one of
the page see the same order. Nothing here reads files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Final

from control_plane.api.guide_markdown import Rendered, link_target, render

__all__ = ["Group", "groups", "page"]

_LINK: Final = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
# Shorter pages need no list of what stands on them.
_CONTENTS_FROM: Final = 4


@dataclass(frozen=True, slots=True)
class Group:
    """Guides of one kind, in the order in which they are read."""

    title: str
    # (title, address)
    links: tuple[tuple[str, str], ...]


@lru_cache(maxsize=8)
def groups(index: str) -> tuple[Group, ...]:
    """Return the groups of guides that the index lists under its second headings."""
    found = []
    for section in index.split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        links = []
        for line in body.splitlines():
            match = _LINK.search(line)
            if match and line.startswith("- "):
                address = link_target("index", match[2])
                if address is not None:
                    links.append((match[1], address))
        if links:
            found.append(Group(title.strip(), tuple(links)))
    return tuple(found)


def page(name: str, text: str, index: str) -> str:
    """Return the whole page of the guide `name`."""
    rendered = render(name, text)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(rendered.title or name)} · Ingot</title>
<link rel="icon" href="/assets/mark.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/page.css">
<link rel="stylesheet" href="/assets/docs.css">
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header>
  <a class="brand" href="/docs"><img src="/assets/mark.svg" alt="" width="28" height="28"> Ingot guides</a>
  <nav><a href="/">Console</a></nav>
</header>
<div class="docs">
<nav class="guides" aria-label="Guides">
{_guides(name, index)}
</nav>
<main id="main" tabindex="-1">
{_contents(rendered)}{rendered.html}</main>
</div>
</body>
</html>
"""


def _guides(name: str, index: str) -> str:
    lines = []
    for group in groups(index):
        lines.append(f"<h2>{escape(group.title)}</h2>\n<ul>")
        for title, address in group.links:
            here = ' aria-current="page"' if address == f"/docs/{name}" else ""
            lines.append(f'<li><a href="{escape(address)}"{here}>{escape(title)}</a></li>')
        lines.append("</ul>")
    return "\n".join(lines)


def _contents(rendered: Rendered) -> str:
    second = [heading for heading in rendered.headings if heading.level == 2]
    if len(second) < _CONTENTS_FROM:
        return ""
    items = "".join(
        f'<li><a href="#{escape(heading.anchor)}">{escape(heading.text)}</a></li>' for heading in second
    )
    return f'<details class="contents"><summary>On this page</summary><ul>{items}</ul></details>\n'
