"""Every answer that the gateway itself gives on the functions' origin.

One table: the code in the log and in problem+json, the status, whose fault it
is and what to tell the caller. Conditions stand in `rules` and `admission`, not here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["REFUSALS", "Refusal", "either_problem", "problem", "refuse"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of the gateway's own."""

    code: str
    status: int
    # "caller", "author" or "platform"
    fault: str
    title: str
    detail: str
    retry_after_s: int = 0


_TABLE = (
    Refusal("bad_request", 400, "caller", "Bad request", "The request is not well-formed HTTP/1.1."),
    Refusal(
        "key_missing", 401, "caller", "API key missing", "Send a key as X-Api-Key or Authorization: Bearer."
    ),
    Refusal("key_unknown", 401, "caller", "API key unknown", "The key does not exist or was revoked."),
    Refusal(
        "key_expired", 401, "caller", "API key expired", "The key is past its last day; use a newer one."
    ),
    Refusal(
        "key_scope", 403, "caller", "Outside the scope of the key", "The key may not call this function."
    ),
    Refusal(
        "key_address",
        403,
        "caller",
        "Outside the networks of the key",
        "The key may not be used from this address.",
    ),
    Refusal("key_mode", 403, "caller", "Outside the modes of the key", "The key may not call in this mode."),
    Refusal("no_such_function", 404, "caller", "No such function", "Nothing is released under this path."),
    Refusal("method_not_allowed", 405, "caller", "Method not allowed", "The Allow header names the methods."),
    Refusal("request_timeout", 408, "caller", "Request timeout", "The request did not arrive in time."),
    Refusal("length_required", 411, "caller", "Length required", "Send the body with a Content-Length."),
    Refusal("body_too_large", 413, "caller", "Body too large", "The body is over the limit of the function."),
    Refusal("rate_limited", 429, "caller", "Rate limited", "Too many calls in 10 seconds.", 10),
    Refusal("concurrency_limited", 429, "caller", "Concurrency limited", "Too many calls at once.", 1),
    Refusal("function_failed", 502, "author", "Function failed", "It ended without a valid answer."),
    Refusal("function_unavailable", 503, "platform", "Function unavailable", "It cannot be reached now.", 1),
    Refusal("queue_full", 503, "author", "Queue full", "All its instances stayed busy.", 1),
    Refusal("metering_lapsed", 503, "platform", "Metering lapsed", "Calls cannot be counted now.", 5),
    Refusal(
        "function_timeout", 504, "author", "Function timeout", "It did not answer within its time limit."
    ),
)

REFUSALS = {refusal.code: refusal for refusal in _TABLE}


def _body(status: int, title: str, code: str, detail: str, fault: str) -> str:
    return (
        f'{{"type":"about:blank","title":"{title}","status":{status},"code":"{code}",'
        f'"detail":"{detail}","fault":"{fault}",'
        '"request_id":"%[var(txn.rid),json(utf8s)]","usage_id":"%[unique-id]"}'
    )


def problem(refusal: Refusal) -> str:
    """Return the problem+json body as a log-format string for single quotes."""
    return _body(refusal.status, refusal.title, refusal.code, refusal.detail, refusal.fault)


def either_problem(condition: str, first: Refusal, second: Refusal) -> str:
    """Return the body of the first refusal where the number is not 0, else of the second."""

    def pick(one: str, other: str) -> str:
        return f"%[{condition},iif({one},{other})]"

    return _body(
        first.status,
        pick(first.title, second.title),
        pick(first.code, second.code),
        pick(first.detail, second.detail),
        pick(first.fault, second.fault),
    )


def refuse(code: str, conditions: str | list[str], extra: str = "") -> list[str]:
    """Return the rules that answer with a refusal if any of the conditions holds."""
    refusal = REFUSALS[code]
    retry = f" hdr Retry-After {refusal.retry_after_s}" if refusal.retry_after_s else ""
    alternatives = [conditions] if isinstance(conditions, str) else conditions
    return [
        f"http-request set-var(sess.why) str({code}) if {' || '.join(alternatives)}",
        (
            f"http-request return status {refusal.status} content-type application/problem+json"
            f"{retry}{extra} lf-string '{problem(refusal)}' if {{ var(sess.why) -m found }}"
        ),
    ]
