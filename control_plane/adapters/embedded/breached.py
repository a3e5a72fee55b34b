"""The BreachedPasswords port: a sorted file of SHA-1 hashes, searched without reading it whole.

The format is the one in which lists of leaked passwords are handed around: one
hash in upper-case hexadecimal digits on each line, in order, optionally with
`:count` behind it. All lines may be cut to the same number of digits, which
makes the file smaller and the answer a little too strict. SHA-1 protects
nothing here; it is only the key of the list.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, Final

from control_plane.errors import Invalid

__all__ = ["BreachedFile", "NoBreachedList"]

# 40 bits: one of 10 billion leaked passwords refuses a hundredth of all others.
_FEWEST_DIGITS: Final = 10


class NoBreachedList:
    """No list was given: only how a password is made decides."""

    def holds(self, password: str) -> bool:
        """Say no."""
        return False


class BreachedFile:
    """One file, opened for each question, so that it may be replaced while Ingot runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                first = _hash_at(file)
        except OSError as error:
            raise Invalid(
                f"The list of leaked passwords {path} cannot be read: {error.strerror}.",
                field="identity.breached_passwords",
            ) from error
        if len(first) < _FEWEST_DIGITS or set(first) - set("0123456789ABCDEF"):
            raise Invalid(
                f"{path} is no list of leaked passwords.",
                field="identity.breached_passwords",
                hint="Each line is a SHA-1 in upper-case hexadecimal digits, optionally `:count`, in order.",
            )

    def holds(self, password: str) -> bool:
        """Say whether the password's hash is in the file."""
        wanted = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        with self._path.open("rb") as file:
            low, high = 0, file.seek(0, 2)
            # The answer's line begins in [low, high); a step halves what is left.
            while high - low > 4_096:
                middle = (low + high) // 2
                file.seek(middle)
                file.readline()
                found = _hash_at(file)
                if found and wanted[: len(found)] >= found:
                    low = middle
                else:
                    high = middle
            file.seek(low)
            if low:
                file.readline()
            return _stands_from_here(file, wanted)


def _stands_from_here(file: IO[bytes], wanted: str) -> bool:
    while found := _hash_at(file):
        if wanted.startswith(found):
            return True
        if found > wanted:
            return False
    return False


def _hash_at(file: IO[bytes]) -> str:
    """Return the next line's hash; empty at the end."""
    return file.readline(200).partition(b":")[0].strip().decode("ascii", "replace")
