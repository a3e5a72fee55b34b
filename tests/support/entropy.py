"""Randomness that is the same in every run and grows, so that ids of one moment stay in order."""

from __future__ import annotations

import hashlib
import itertools

__all__ = ["FakeEntropy"]


class FakeEntropy:
    """The Entropy port: 80 bits count up, as ids do; other lengths look random."""

    def __init__(self, first: int = 1) -> None:
        self._numbers = itertools.count(first)

    def bits(self, count: int) -> int:
        """Return the next number of this length."""
        number = next(self._numbers)
        if count == 80:
            return number
        digest = hashlib.sha512(f"{count}/{number}".encode()).digest()
        return int.from_bytes(digest, "big") % (1 << count)
