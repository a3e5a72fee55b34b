"""Lets in only calls that carry the gateway's token for this function.

A token is `v1.KEY.UNTIL.FUNCTION.SIGNATURE`: the signing key's id, Unix seconds,
the function's id, and an Ed25519 signature over what stands before it. Whoever
verifies cannot make one. A token serves many calls, so its signature is checked
once; after that a call costs a look into a dictionary. The same format stands in
`control_plane/domain/hop_tokens.py`.
"""

from __future__ import annotations

import time
from binascii import a2b_base64
from collections.abc import Callable
from typing import Final

from .http1 import Request
from .problems import Problem, caller_fault

__all__ = ["HEADER", "Guard"]

HEADER: Final = "x-ingot-hop"
_PREFIX: Final = b"ingot-hop-token\n"
_LONGEST: Final = 512
# Clocks of two machines may differ by so much.
_LEEWAY_S: Final = 30
# The gateway makes a new one every minute; tokens beyond these are somebody's experiments.
_KEPT: Final = 32


class Guard:
    """The keys and the function that a token must be for. Threads may share it."""

    def __init__(self, function: str, keys: list[str], now: Callable[[], float] = time.time) -> None:
        """`keys` are `ID:BASE64` of public keys. Raises ValueError."""
        self._function = function
        self._keys = {name: _public(text) for name, _, text in (key.partition(":") for key in keys)}
        self._now = now
        # Token -> when it ends.
        self._known: dict[str, int] = {}

    def check(self, request: Request) -> None:
        """Take the token from the request, as it is not the author's to see. Raises Problem."""
        token = request.joined(HEADER)
        if token:
            request.headers = [one for one in request.headers if one[0] != HEADER]
            del request.fields[HEADER]
        until = self._known.get(token) or self._verified(token)
        if until + _LEEWAY_S < self._now():
            self._known.pop(token, None)
            raise _refused("The gateway's token for this call has expired.")

    def _verified(self, token: str) -> int:
        if not token:
            raise caller_fault(
                401, "hop_missing", "This instance takes calls only from its gateway, with a token of it."
            )
        parts = token.split(".")
        if len(token) > _LONGEST or not token.isascii() or len(parts) != 5 or parts[0] != "v1":
            raise _refused("What came as the gateway's token is none.")
        _, name, until, function, signature = parts
        if not until.isdecimal() or len(until) > 12 or name not in self._keys:
            raise _refused("The token is of a gateway that this instance does not know.")
        # Only a call that comes with a new token pays for loading it.
        from .ed25519 import verifies

        signed = _PREFIX + token[: -len(signature) - 1].encode()
        if not verifies(self._keys[name], _decoded(signature), signed):
            raise _refused("The token was not made by the gateway whose name it bears.")
        if function != self._function:
            raise caller_fault(403, "hop_foreign", "The token is for another function.")
        known = self._known
        if len(known) >= _KEPT:
            self._known = known = {}
        known[token] = int(until)
        return int(until)


def _refused(detail: str) -> Problem:
    return caller_fault(401, "hop_invalid", detail)


def _public(text: str) -> bytes:
    key = a2b_base64(text, strict_mode=True)
    if len(key) != 32:
        raise ValueError("a public key has 32 bytes")
    return key


def _decoded(text: str) -> bytes:
    try:
        return a2b_base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
    except ValueError:
        return b""
