"""What the gateway's refusals mean: the rule that refused a call, and what to do about it.

Sentences for people who look at one call afterwards. The codes are the
gateway's (docs/contracts.md); a test keeps this table complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["EXITS", "REFUSALS", "Explained"]


@dataclass(frozen=True, slots=True)
class Explained:
    """Why a call was not answered by its function, and what changes that."""

    rule: str
    action: str


REFUSALS: Final[Mapping[str, Explained]] = {
    "bad_request": Explained(
        "The request was not well-formed HTTP/1.1, so no rule could look at it.",
        "Repair the client: it sent something that is no request.",
    ),
    "key_missing": Explained(
        "The function is not public and the call brought no API key.",
        "Send a key as X-Api-Key or Authorization: Bearer; `ingot key create` makes one.",
    ),
    "key_unknown": Explained(
        "No key with this text exists: it was mistyped, revoked, or is another installation's.",
        "Look for it with `ingot key list`; make a new one if it was revoked.",
    ),
    "key_expired": Explained(
        "The key is past its last day.",
        "Make a new key with `ingot key create` and give it to the caller.",
    ),
    "key_scope": Explained(
        "The key may not call this function: it names other functions, or belongs to another organization.",
        "Use a key that names the function or its whole project.",
    ),
    "key_address": Explained(
        "The key may not be used from the address that the call came from.",
        "Call from one of the key's networks, or change them; `ingot key list` shows them.",
    ),
    "key_mode": Explained(
        "The key may not call in this mode: it is for sync calls or for streams only.",
        "Use a key for this mode, or change the key's modes.",
    ),
    "no_such_function": Explained(
        "Nothing is released under this path.",
        "Check the organization and the name in the path, then `ingot release status`.",
    ),
    "method_not_allowed": Explained(
        "The function does not take this method.",
        "Use one that the Allow header of the answer names.",
    ),
    "request_timeout": Explained(
        "The request did not arrive in time: headers or the body's beginning were missing.",
        "Look at the caller's network; send the body without a pause.",
    ),
    "length_required": Explained(
        "The body came in chunks, and the version does not stream.",
        "Send a Content-Length, or declare the function as streaming.",
    ),
    "body_too_large": Explained(
        "The body is over the function's limit.",
        "Send less, or raise the limit in the declaration and release it.",
    ),
    "rate_limited": Explained(
        "The key, or the release, had used up its calls of these 10 seconds.",
        "Call less often, or raise the key's or the release's rate.",
    ),
    "concurrency_limited": Explained(
        "The key, or the release, had all the calls under way that it may have at once.",
        "Wait for answers before calling again, or raise the limit.",
    ),
    "queue_full": Explained(
        "All instances stayed busy until the call's time in the queue was over.",
        "Raise instances × concurrency and release again, or make the function faster.",
    ),
    "metering_lapsed": Explained(
        "Calls could not be counted, so none were let in.",
        "The operator finds the reason in logs/meter.log: a full disk, a locked database, a changed log.",
    ),
    "function_unavailable": Explained(
        "The version's socket could not be reached: it was just being started, backed off or was restarted.",
        "Look at `ingot release status` and the function's log; call again.",
    ),
    "function_failed": Explained(
        "The instance ended, or answered something that is no answer.",
        "The function's log holds the traceback or the reason of the exit.",
    ),
    "function_timeout": Explained(
        "The function did not answer within its time limit.",
        "Make it faster, or raise timeout_ms in its declaration and release it.",
    ),
    "preflight": Explained(
        "The gateway answered a browser's CORS preflight itself; the function was not called.",
        "Nothing: this is how browsers ask before they call.",
    ),
}

# Why an instance ended that broke a call off -> the same.
EXITS: Final[Mapping[str, Explained]] = {
    "out_of_memory": Explained(
        "The instance ran out of its memory and was ended.",
        "Raise memory_mb in the declaration, or let the code hold less at once.",
    ),
    "crashed": Explained(
        "The instance ended by itself in the middle of the call.",
        "The function's log holds what it wrote last; look for os._exit, a signal or a fault in native code.",
    ),
    "overdue": Explained(
        "The call ran longer than the time limit and the host ended the instance.",
        "Make it faster, or raise timeout_ms in its declaration and release it.",
    ),
    "evicted": Explained(
        "The host needed the memory for others and ended the instance.",
        "Call again; give the host more memory when this happens often.",
    ),
    "retired": Explained("The instance was ended by a release.", "Call again."),
    "life": Explained("The instance had reached its longest life.", "Call again."),
    "drained": Explained("The host was being stopped.", "Call again."),
}
