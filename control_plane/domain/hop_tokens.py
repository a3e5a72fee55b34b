"""The gateway's word to a function's pods that a call came through it: short-lived tokens, one per function.

Pure: the text of a token, and when it is time for a new one. The signature is
made by a Signer; pods verify it in `ingot_shim.hop`, which cannot make one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

__all__ = ["LIFE_S", "RENEW_S", "HopTokens", "unsigned_token"]

# Long enough that a control plane which is away for a few minutes fails no call.
LIFE_S: Final = 300
RENEW_S: Final = 60
_PREFIX: Final = b"ingot-hop-token\n"


def unsigned_token(key: str, until: int, function: str) -> str:
    """Return what is signed; no part may hold a dot, so that it reads in one way only."""
    if "." in key or "." in function:
        raise ValueError("a dot would move the token's parts")
    return f"v1.{key}.{until}.{function}"


class HopTokens:
    """Makes tokens and keeps them until they are due. `key` names the key that `sign` signs with."""

    def __init__(self, key: str, sign: Callable[[bytes], str], now_s: Callable[[], int]) -> None:
        """`sign` returns a signature as URL-safe base64 without padding."""
        self._key = key
        self._sign = sign
        self._now_s = now_s
        # Function -> when its token was made, and the token.
        self._made: dict[str, tuple[int, str]] = {}

    def of(self, functions: Iterable[str]) -> dict[str, str]:
        """Return the token of each function, a new one where it is due; others' are forgotten."""
        now = self._now_s()
        self._made = {function: self._current(function, now) for function in functions}
        return {function: token for function, (_, token) in self._made.items()}

    def _current(self, function: str, now: int) -> tuple[int, str]:
        known = self._made.get(function)
        # A clock that was set back makes everything due.
        if known is not None and 0 <= now - known[0] < RENEW_S:
            return known
        text = unsigned_token(self._key, now + LIFE_S, function)
        return now, f"{text}.{self._sign(_PREFIX + text.encode())}"
