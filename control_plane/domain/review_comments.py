"""Remarks on a review: on the whole, on a file or on a line of one side, in threads that can be resolved.

Whether a review takes remarks at all is decided in `reviews`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from control_plane.errors import Conflict, Invalid, NotFound

__all__ = ["Comment", "Side", "add_comment", "check_line", "resolve_thread"]

_MOST: Final = 1_000


class Side(StrEnum):
    """Which of the two versions a line belongs to."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Comment:
    """A remark, on the whole or on one line of one file."""

    user: str
    at_ms: int
    text: str
    path: str = ""
    line: int = 0
    id: str = ""
    side: Side = Side.AFTER
    # Id of the remark that it answers; empty when it begins a thread.
    thread: str = ""
    resolved_by: str = ""
    resolved_ms: int = 0


def add_comment(comments: tuple[Comment, ...], remark: Comment) -> tuple[Comment, ...]:
    """Return the remarks with one more. An answer lies where its thread lies, and opens it again."""
    if len(comments) >= _MOST:
        raise Conflict(f"A review has at most {_MOST:,} remarks.", hint="Decide it, or submit it again.")
    if not remark.thread:
        if remark.line and not remark.path:
            raise Invalid("A line needs a path.", field="path")
        return (*comments, remark)
    first = _first(comments, remark.thread)
    answer = replace(remark, path=first.path, line=first.line, side=first.side)
    return (*_with(comments, replace(first, resolved_by="", resolved_ms=0)), answer)


def check_line(content: bytes, line: int) -> None:
    """Refuse a line that the file's reader cannot find in it, as a line behind its end."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise Invalid("The file is not text, so it has no lines.", field="line", hint="Remark on the file.")
    lines = text.count("\n") + (not text.endswith("\n") and bool(text))
    if not 1 <= line <= lines:
        raise Invalid(
            f"The file has {lines:,} lines on this side, so none has the number {line:,}.",
            field="line",
            hint="Count from 1, on the side that `side` names.",
        )


def resolve_thread(
    comments: tuple[Comment, ...], thread: str, *, user: str, now_ms: int
) -> tuple[Comment, ...]:
    """Return the remarks with one thread resolved by a user, or open again when the user is empty.

    A thread that is so already stays as it is, with the user who made it so.
    """
    first = _first(comments, thread)
    if bool(first.resolved_by) == bool(user):
        return comments
    return _with(comments, replace(first, resolved_by=user, resolved_ms=now_ms if user else 0))


def _first(comments: tuple[Comment, ...], thread: str) -> Comment:
    for known in comments:
        if known.id and known.id == thread and not known.thread:
            return known
    raise NotFound(f"The review has no thread “{thread[:80]}”.", hint="Name the remark that began it.")


def _with(comments: tuple[Comment, ...], changed: Comment) -> tuple[Comment, ...]:
    return tuple(changed if known.id == changed.id else known for known in comments)
