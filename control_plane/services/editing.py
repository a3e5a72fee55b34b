"""What every change of a titled thing checks: its title, and that its editor saw the present state."""

from __future__ import annotations

from control_plane.errors import Invalid, PreconditionFailed, PreconditionRequired

__all__ = ["check_match", "check_title"]


def check_title(title: str) -> None:
    """Refuse a title that a list cannot show."""
    if len(title) > 100 or (title and not title.isprintable()):
        raise Invalid("A title has at most 100 printable characters.", field="title")


def check_match(etag: str, if_match: str, noun: str) -> None:
    """Refuse a change that is not based on the present state."""
    if not if_match:
        raise PreconditionRequired(f"Changing this {noun} needs If-Match.", hint=f'Send "{etag}".')
    if if_match.strip('W/"') != etag:
        raise PreconditionFailed(f"The {noun} is {etag} by now.", hint="Get it again.")
