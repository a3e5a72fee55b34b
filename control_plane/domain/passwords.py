"""Which passwords are too easy to guess, decided by how they are made and without any list of leaked ones.

What people choose under a length rule is a common word or two, a walk over the
keyboard, a year, a repeated part, and a sign at the end. Each of these counts as
one character here, and what is left must be long enough. Hashing and lists of
passwords that leaked are behind ports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from control_plane.errors import Invalid

__all__ = ["check_password", "weight"]

_SHORTEST: Final = 12
_LONGEST: Final = 256
# Guessing 8 independent characters is out of reach of attempts that must wait.
_LIGHTEST: Final = 8

# Letters that are often written as a digit or sign.
_SPELLINGS: Final = str.maketrans("013457@$!+", "oleastasit")
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
)
_WORDS: Final = frozenset(
    """
    access account admin administrator angel baby banana baseball basketball batman beautiful butterfly
    change changeme charlie cheese chocolate computer cookie default diamond donald dragon family flower
    football forever freedom friend friends guest happy hello hunter iloveyou ingot install internet
    jennifer jesus jordan king letmein login love loveme lovely manager master mercedes michael mickey
    monday money monkey mother mustang nothing orange owner passphrase passwd password passwort
    pepper please pokemon princess private purple qwerty root samsung secret security server shadow silver
    soccer spring starwars summer sunday sunshine superman support sweet system temp temporary test testing
    thomas tiger today trust user website welcome whatever william winter autumn wizard your
    """.split()  # noqa: SIM905  (a list would take a line for each word)
)
_YEAR: Final = re.compile(r"(?:19|20)\d\d")


def check_password(password: str, email: str, names: Iterable[str] = ()) -> str:
    """Return the password when it is long enough and not easy to guess.

    `names` are words that an attacker knows: of the person and the organization.
    """
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise Invalid(
            f"A password has {_SHORTEST} to {_LONGEST} characters.", field="password", hint="Use a sentence."
        )
    known = {email, email.partition("@")[0], *re.split(r"[@._+-]", email)}
    known |= {part for name in names for part in re.split(r"[\s_-]+", name.lower())}
    if weight(password, known) < _LIGHTEST:
        raise Invalid("This password is too easy to guess.", field="password", hint="Use a sentence.")
    return password


def weight(password: str, names: Iterable[str] = ()) -> int:
    """Return how many characters are left when all that is easy to guess counts as one."""
    words = sorted({*_WORDS, *(name for name in names if len(name) >= 3)}, key=len, reverse=True)
    lightest = _LONGEST
    for text in {password.lower(), password.lower().translate(_SPELLINGS)}:
        lightest = min(lightest, _weight(_once(text), words))
    return lightest


def _weight(text: str, words: Iterable[str]) -> int:
    left, position = 0, 0
    known = tuple(words)
    while position < len(text):
        position += max(
            1,
            _word(text, position, known),
            _walk(text, position),
            _same(text, position),
            4 if _YEAR.match(text, position) else 0,
        )
        left += 1
    return min(left, len(set(text)))


def _once(text: str) -> str:
    """Return the part that a text repeats from its beginning to its end, or the text itself."""
    for length in range(1, len(text) // 2 + 1):
        if text == (text[:length] * (len(text) // length + 1))[: len(text)]:
            return text[:length]
    return text


def _word(text: str, position: int, words: Iterable[str]) -> int:
    """Return the length of the longest common word that stands here."""
    return next((len(word) for word in words if text.startswith(word, position)), 0)


def _walk(text: str, position: int) -> int:
    """Return how far the text walks along a row from here, forwards or backwards; 0 below 3 steps."""
    longest = 0
    for row in _ROWS:
        for line in (row, row[::-1]):
            start = line.find(text[position])
            length = 0
            while (
                start >= 0
                and position + length < len(text)
                and start + length < len(line)
                and text[position + length] == line[start + length]
            ):
                length += 1
            longest = max(longest, length)
    return longest if longest >= 3 else 0


def _same(text: str, position: int) -> int:
    """Return how often the character here is repeated."""
    end = position
    while end < len(text) and text[end] == text[position]:
        end += 1
    return end - position
