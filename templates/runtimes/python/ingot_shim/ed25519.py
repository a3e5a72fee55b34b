"""Verifies Ed25519 signatures (RFC 8032) with whole numbers alone.

It only verifies, so nothing here is secret and no time it takes tells anything.
"""

from __future__ import annotations

from hashlib import sha512
from typing import Final

__all__ = ["verifies"]

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ROOT: Final = pow(2, (_P - 1) // 4, _P)

# Extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, xy = T/Z.
_Point = tuple[int, int, int, int]
_NEUTRAL: Final[_Point] = (0, 1, 1, 0)


def verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether the signature is this key's for this message."""
    if len(public) != 32 or len(signature) != 64:
        return False
    scalar = int.from_bytes(signature[32:], "little")
    key, commitment = _point(public), _point(signature[:32])
    if key is None or commitment is None or scalar >= _ORDER:
        return False
    digest = sha512(signature[:32] + public + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    x, y, z, t = key
    # S·B - k·A must be R.
    found = _sum_of_products(scalar, _BASE, challenge, (-x % _P, y, z, -t % _P))
    return _equal(found, commitment)


def _point(encoded: bytes) -> _Point | None:
    """Return the point of an encoding; None when there is none."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _add(one: _Point, other: _Point) -> _Point:
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = 2 * t1 * t2 * _D % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(point: _Point) -> _Point:
    x, y, z, _ = point
    a, b = x * x % _P, y * y % _P
    h = a + b
    e = h - (x + y) ** 2 % _P
    g = a - b
    f = 2 * z * z % _P + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _sum_of_products(one: int, first: _Point, other: int, second: _Point) -> _Point:
    """Return one·first + other·second, two bits of both numbers at a time."""
    table = [_NEUTRAL] * 16
    for low in range(1, 4):
        table[low] = _add(table[low - 1], first)
    for high in range(4, 16):
        table[high] = _add(table[high - 4], second)
    found = _NEUTRAL
    for shift in range(252, -2, -2):
        found = _double(_double(found))
        index = one >> shift & 3 | (other >> shift & 3) << 2
        if index:
            found = _add(found, table[index])
    return found


def _equal(one: _Point, other: _Point) -> bool:
    x1, y1, z1, _ = one
    x2, y2, z2, _ = other
    return (x1 * z2 - x2 * z1) % _P == 0 and (y1 * z2 - y2 * z1) % _P == 0


_base = _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
assert _base is not None  # noqa: S101 - the curve's own generator
_BASE: Final[_Point] = _base
