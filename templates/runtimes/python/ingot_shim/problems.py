"""Errors that a caller sees: problem+json (RFC 9457) with a code and whose fault it is.

Nothing here logs, and no detail may hold a traceback or a secret.
"""

from __future__ import annotations

import json

from .answers import Answer, reason

__all__ = ["Problem", "author_fault", "caller_fault"]


class Problem(Exception):
    """An answer that is an error. `errors` are (JSON pointer, message) pairs."""

    def __init__(
        self,
        status: int,
        code: str,
        fault: str,
        detail: str,
        *,
        errors: tuple[tuple[str, str], ...] = (),
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.fault = fault
        self.detail = detail
        self.errors = errors
        self.headers = headers
        # Set once the author's log has it.
        self.logged = False

    def answer(self, request_id: str) -> Answer:
        """Return the answer to send."""
        document: dict[str, object] = {
            "title": reason(self.status),
            "status": self.status,
            "code": self.code,
            "fault": self.fault,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.errors:
            document["errors"] = [{"pointer": pointer, "message": text} for pointer, text in self.errors]
        body = json.dumps(document).encode()
        return Answer(self.status, (("Content-Type", "application/problem+json"), *self.headers), body)


def caller_fault(status: int, code: str, detail: str) -> Problem:
    """Return a problem that the caller can mend."""
    return Problem(status, code, "caller", detail)


def author_fault(code: str, detail: str) -> Problem:
    """Return a problem that only the function's author can mend."""
    return Problem(500, code, "author", detail)
