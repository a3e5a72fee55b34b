"""The one error tree: each class is a stable wire code, a status and a hint.

HTTP renders these as problem+json, the CLI as a sentence with its hint, the
reconciler as a condition. Only errors that a caller can act on live here; a
bug stays an ordinary exception and becomes `internal` at the edge.
Nothing here may import anything of ours.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "Conflict",
    "Forbidden",
    "IngotError",
    "Invalid",
    "NotFound",
    "PreconditionFailed",
    "PreconditionRequired",
    "TooLarge",
    "TooMany",
    "Unauthenticated",
    "Unavailable",
]


class IngotError(Exception):
    """Base of every error that a caller sees.

    `code` is stable and documented; subclasses in the noun's own module set a
    more exact one. `field` is a JSON pointer or a flag's name, `hint` says
    what to do next in one sentence.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        errors: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint
        # (JSON pointer, what is wrong) pairs, one for each field at fault.
        self.errors = errors


class Invalid(IngotError):
    """The input breaks a rule; the sender must change it."""

    code = "invalid"
    status = 422


class Unauthenticated(IngotError):
    """No, unknown or expired credentials."""

    code = "unauthenticated"
    status = 401


class Forbidden(IngotError):
    """Known caller, missing permission."""

    code = "forbidden"
    status = 403


class NotFound(IngotError):
    """Absent, or in another tenant: both look the same from outside."""

    code = "not_found"
    status = 404


class Conflict(IngotError):
    """The wanted change contradicts the present state."""

    code = "conflict"
    status = 409


class PreconditionFailed(IngotError):
    """If-Match names a state that is no longer there."""

    code = "precondition_failed"
    status = 412


class TooLarge(IngotError):
    """The body or archive is over its limit."""

    code = "too_large"
    status = 413


class PreconditionRequired(IngotError):
    """An editable thing was changed without If-Match."""

    code = "precondition_required"
    status = 428


class TooMany(IngotError):
    """A limit over time or at once is used up."""

    code = "too_many"
    status = 429
    retryable = True


class Unavailable(IngotError):
    """A part that Ingot needs does not answer; trying later may help."""

    code = "unavailable"
    status = 503
    retryable = True
