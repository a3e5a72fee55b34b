"""What lists of files, members, API keys and events are narrowed to; what is empty or None asks for nothing.

Only the wishes live here: the rows that fit are found by the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from control_plane.domain.access import Role
from control_plane.domain.events import EVENT_TYPES, type_of
from control_plane.domain.files import FileState
from control_plane.errors import Invalid

__all__ = ["EventFilter", "FileFilter", "KeyFilter", "KeyState", "MemberFilter", "types_under"]


@dataclass(frozen=True, slots=True)
class FileFilter:
    """Which files are meant."""

    # The beginning of the name; small and large letters are the same.
    name: str = ""
    state: FileState | None = None


@dataclass(frozen=True, slots=True)
class MemberFilter:
    """Which members are meant."""

    # A role that is held anywhere in the organization.
    role: Role | None = None
    # A part of the e-mail address or the name.
    text: str = ""
    disabled: bool | None = None


class KeyState(StrEnum):
    """Whether calls with a key are let through."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Which keys are meant."""

    # The beginning of the name; small and large letters are the same.
    name: str = ""
    state: KeyState | None = None
    # Id of a function that the key may call.
    function: str = ""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are meant."""

    # Full types, as they are stored.
    types: tuple[str, ...] = ()
    subject: str = ""
    since_ms: int = 0


def types_under(prefix: str) -> tuple[str, ...]:
    """Return the full types that begin so: `review`, `review.approved` or `dev.ingot.review.`.

    The types are few and known, so a beginning of none of them is a slip. Raises Invalid.
    """
    wanted = prefix.strip()
    found = tuple(
        type_of(name) for name in EVENT_TYPES if name.startswith(wanted) or type_of(name).startswith(wanted)
    )
    if not found:
        raise Invalid(
            f"No event's type begins with “{wanted[:80]}”.",
            field="type",
            hint="docs/events.md names them all; review.approved is one.",
        )
    return () if not wanted else found
