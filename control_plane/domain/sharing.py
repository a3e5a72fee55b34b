"""Sharing: what an organization lets others install, who sees it, and where an installed function is from.

A share names one version by its digest. Installing copies the source; it never
gives anybody a way into the owner's organization.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from control_plane.errors import Conflict, Invalid, PreconditionFailed, PreconditionRequired

__all__ = [
    "EVERYONE",
    "Audience",
    "Installation",
    "Share",
    "ShareKind",
    "ShareWish",
    "UnreviewedShare",
    "reaches",
    "search_terms",
    "share_words",
]

# The reach of what every organization on this system may see.
EVERYONE: Final = "everyone"

_WORD: Final = re.compile(r"[^\W_]+")
_TAG: Final = re.compile(r"[a-z][a-z0-9-]{0,29}")
_MOST_TAGS: Final = 10
_MOST_TERMS: Final = 6
_LONGEST_WORD: Final = 60


class ShareKind(StrEnum):
    """How it is meant to be used."""

    # To be run as it is.
    FUNCTION = "function"
    # To begin a function of one's own from.
    STARTER = "starter"


class Audience(StrEnum):
    """Who may see and install it."""

    PROJECT = "project"
    ORGANIZATION = "organization"
    EVERYONE = "everyone"


class UnreviewedShare(Conflict):
    """Nobody approved the version: where approvals are asked for, it is neither shared nor installed."""

    code = "unreviewed_share"


@dataclass(frozen=True, slots=True)
class ShareWish:
    """What somebody wants to share, and how it shall be found."""

    version: int
    kind: ShareKind = ShareKind.FUNCTION
    summary: str = ""
    tags: tuple[str, ...] = ()
    # The sharer knows that nobody approved the version.
    unreviewed: bool = False

    def __post_init__(self) -> None:
        if len(self.summary) > 200 or (self.summary and not self.summary.isprintable()):
            raise Invalid("A summary is one line of at most 200 printable characters.", field="summary")
        if len(self.tags) > _MOST_TAGS or len(set(self.tags)) != len(self.tags):
            raise Invalid(f"There are at most {_MOST_TAGS} different tags.", field="tags")
        for tag in self.tags:
            if not _TAG.fullmatch(tag):
                raise Invalid(
                    f"“{tag[:40]}” is no tag: lower-case letters, digits, hyphens; at most 30.", field="tags"
                )


@dataclass(frozen=True, slots=True)
class Share:
    """One version of a function, offered to its reach."""

    id: str
    organization: str
    project: str
    function: str
    version: str
    number: int
    digest: str
    kind: ShareKind
    name: str
    summary: str
    tags: tuple[str, ...]
    # `everyone`, or the id of the organization or project that sees it.
    reach: str
    # The version had the approvals that its project asks for when it was shared.
    reviewed: bool
    shared_by: str
    created_ms: int
    updated_ms: int
    revision: int = 1

    @property
    def audience(self) -> Audience:
        """Who may see it."""
        if self.reach == EVERYONE:
            return Audience.EVERYONE
        return Audience.ORGANIZATION if self.reach == self.organization else Audience.PROJECT

    @property
    def etag(self) -> str:
        """The strong validator that If-Match names."""
        return f"s{self.revision}"

    def expect(self, if_match: str) -> None:
        """Refuse a change that was made against another state of it."""
        if not if_match:
            raise PreconditionRequired(
                "Changing a share needs If-Match.", hint=f'Send If-Match: "{self.etag}".'
            )
        if if_match != self.etag:
            raise PreconditionFailed(
                f"The share has changed: it is {self.etag}, not {if_match[:40]}.", hint="Look at it again."
            )

    def changed(self, other: Share) -> Share:
        """Return what `other` offers in the place of this one."""
        return replace(other, id=self.id, created_ms=self.created_ms, revision=self.revision + 1)


@dataclass(frozen=True, slots=True)
class Installation:
    """Where a function's first draft came from. Names are those of that moment."""

    function: str
    organization: str
    project: str
    share: str
    # The owner's organization, by name: its id is nobody else's business.
    source_organization: str
    source_name: str
    number: int
    digest: str
    installed_by: str
    installed_ms: int

    def update(self, share: Share | None) -> Share | None:
        """Return the share when it offers a newer version than the installed one."""
        newer = share is not None and share.number > self.number and share.digest != self.digest
        return share if newer else None


def reaches(organization: str, projects: Iterable[str]) -> tuple[str, ...]:
    """Return every reach that somebody sees who acts in this organization and reads these projects."""
    return (EVERYONE, organization, *projects)


def share_words(share: Share, owner: str) -> frozenset[str]:
    """Return what a share is found by: its tags as `#tag`, and its words in lower case."""
    text = f"{share.name} {share.summary} {owner} {' '.join(share.tags)}"
    return frozenset({f"#{tag}" for tag in share.tags} | set(_words(text)))


def search_terms(text: str) -> tuple[str, ...]:
    """Return the beginnings of words that a search asks for, all of which must be found."""
    return tuple(dict.fromkeys(_words(text)))[:_MOST_TERMS]


def _words(text: str) -> list[str]:
    return [word[:_LONGEST_WORD] for word in _WORD.findall(text.lower())]
