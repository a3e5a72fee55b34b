"""Turns a guide's Markdown into HTML that may stand on the console's origin.

Raw HTML is escaped, images and styles are left out, links lead to other guides
or away from here over http(s). Nothing here reads files or knows of routes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["Heading", "Rendered", "link_target", "render", "slug"]

_CODE: Final = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Heading:
    """A place of the page that can be linked to."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A page's body and its headings in order."""

    html: str
    headings: tuple[Heading, ...]

    @property
    def title(self) -> str:
        """The first heading's text."""
        return self.headings[0].text if self.headings else ""


def slug(text: str) -> str:
    """Return the anchor of a heading, as forges make it."""
    kept = re.sub(r"[^\w\- ]", "", text.strip().lower())
    return re.sub(r" +", "-", kept)


def link_target(name: str, href: str) -> str | None:
    """Return where a link on the guide `name` leads, or None when that is no place to go to.

    Guides link to each other as files, so that they can be read in a checkout too.
    """
    if href.startswith(("https://", "http://", "#")):
        return href
    path, mark, anchor = href.partition("#")
    if path.startswith("/"):
        # Two slashes would be another host.
        return None if path.startswith("//") or "\\" in path else href
    # A folder's page is the list of what is in it.
    if not path.endswith((".md", "/")):
        return None
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(name), path.removesuffix(".md")))
    return None if resolved.startswith("..") else f"/docs/{resolved}{mark}{anchor}"


@lru_cache(maxsize=256)
def render(name: str, text: str) -> Rendered:
    """Return the HTML of the guide `name`; the same text is rendered once."""
    # This preset lets raw HTML through unless it is told not to.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = parser.parse(text)
    headings = tuple(_headings(tokens))
    _name_rows(tokens, {heading.anchor for heading in headings})
    for token in tokens:
        # Alignment would become a style attribute, which the policy of this origin refuses.
        token.attrs.pop("style", None)
        token.children = _linked(name, token.children) if token.children else token.children
    html = str(parser.renderer.render(tokens, parser.options, {}))
    # Wide tables scroll by themselves instead of widening the page.
    html = html.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    return Rendered(html, headings)


def _headings(tokens: Sequence[Token]) -> Iterator[Heading]:
    seen: set[str] = set()
    for position, token in enumerate(tokens):
        if token.type != "heading_open":
            continue
        text = _text(tokens[position + 1])
        wanted = anchor = slug(text) or "section"
        number = 1
        while anchor in seen:
            number += 1
            anchor = f"{wanted}-{number}"
        seen.add(anchor)
        token.attrSet("id", anchor)
        yield Heading(int(token.tag[1:]), text, anchor)


def _name_rows(tokens: Sequence[Token], taken: set[str]) -> None:
    """Give a table's row the name of the code in its first cell, as errors link to their codes."""
    row: Token | None = None
    for token in tokens:
        if token.type == "tr_open":
            row = token
        elif token.type == "inline" and row is not None:
            first = next((child for child in token.children or () if child.type == "code_inline"), None)
            if first is not None and _CODE.fullmatch(first.content) and first.content not in taken:
                taken.add(first.content)
                row.attrSet("id", first.content)
            row = None


def _linked(name: str, children: Sequence[Token]) -> list[Token]:
    """Return the tokens with every link resolved, and without those that lead nowhere."""
    kept, dropped = [], False
    for token in children:
        if token.type == "link_open":
            target = link_target(name, str(token.attrs.get("href", "")))
            dropped = target is None
            if target is not None:
                token.attrSet("href", target)
                if target.startswith("http"):
                    token.attrSet("rel", "noreferrer")
        if not (dropped and token.type in {"link_open", "link_close"}):
            kept.append(token)
    return kept


def _text(token: Token) -> str:
    return "".join(child.content for child in token.children or () if child.content)
