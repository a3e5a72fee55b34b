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
    # What to do when whoever raises it knows nothing more exact.
    advice: ClassVar[str] = "Try again; if it stays, give the request id to the operator."

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
        self.hint = self.advice if hint is None else hint
        # (JSON pointer, what is wrong) pairs, one for each field at fault.
        self.errors = errors


class Invalid(IngotError):
    """The input breaks a rule; the sender must change it."""

    code = "invalid"
    status = 422
    advice = "Correct what is named, and send it again."


class Unauthenticated(IngotError):
    """No, unknown or expired credentials."""

    code = "unauthenticated"
    status = 401
    advice = "Sign in, or send a personal token as Authorization: Bearer; `ingot login` makes one."


class Forbidden(IngotError):
    """Known caller, missing permission."""

    code = "forbidden"
    status = 403
    advice = "Ask an owner of the organization for a role that has the right; `ingot whoami` shows yours."


class NotFound(IngotError):
    """Absent, or in another tenant: both look the same from outside."""

    code = "not_found"
    status = 404
    advice = "Check its name; what you may not see looks the same."


class Conflict(IngotError):
    """The wanted change contradicts the present state."""

    code = "conflict"
    status = 409
    advice = "Look at its present state, and decide again."


class PreconditionFailed(IngotError):
    """If-Match names a state that is no longer there."""

    code = "precondition_failed"
    status = 412
    advice = "Read it again, and repeat the change on what is there now."


class TooLarge(IngotError):
    """The body or archive is over its limit."""

    code = "too_large"
    status = 413
    advice = "Send less, or in smaller parts."


class PreconditionRequired(IngotError):
    """An editable thing was changed without If-Match."""

    code = "precondition_required"
    status = 428
    advice = "Read it first, and send its ETag back as If-Match."


class TooMany(IngotError):
    """A limit over time or at once is used up."""

    code = "too_many"
    status = 429
    advice = "Wait as long as Retry-After says, and try again."
    retryable = True


class Unavailable(IngotError):
    """A part that Ingot needs does not answer; trying later may help."""

    code = "unavailable"
    status = 503
    advice = "Try again in a moment; `ingot status` shows what does not run."
    retryable = True
