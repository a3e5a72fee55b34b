"""A very small assembler for seccomp filters: conditions on the number and arguments of a call.

Knows the machine format only; which calls are refused is said in `seccomp`.
A rule is two to ten instructions that fall through to the next rule, so no
jump is ever long and rules can be put together freely.
"""

from __future__ import annotations

import ctypes
import struct

__all__ = [
    "Program",
    "argument_has",
    "argument_is",
    "argument_lacks",
    "argument_not_in",
    "both_are",
    "error",
    "head",
    "on_call",
]

_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
# Numbers of the x32 ABI on x86_64 carry this bit.
_X32 = 0x4000_0000
_ALLOW = 0x7FFF_0000
_ENOSYS = 38

Instruction = tuple[int, int, int, int]


def error(number: int) -> int:
    """Return the filter's answer "do nothing and fail with this errno" (0: do nothing and succeed)."""
    return 0x0005_0000 | number


def head(arch: int, has_x32: bool) -> list[Instruction]:
    """Refuse every other architecture's calls, then load the number."""
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH),
        (_JEQ, 1, 0, arch),
        (_RETURN, 0, 0, error(_ENOSYS)),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if has_x32:
        code += [(_JGE, 0, 1, _X32), (_RETURN, 0, 0, error(_ENOSYS))]
    return code


def on_call(number: int, answer: int) -> list[Instruction]:
    """Answer one call, whatever its arguments."""
    return [(_JEQ, 0, 1, number), (_RETURN, 0, 0, answer)]


def argument_is(number: int, index: int, value: int, answer: int) -> list[Instruction]:
    """Answer the call when the low 32 bits of an argument equal `value`."""
    return _guarded(
        number, [(_LOAD, 0, 0, _ARGUMENTS + 8 * index), (_JEQ, 0, 1, value), (_RETURN, 0, 0, answer)]
    )


def argument_not_in(number: int, index: int, allowed: tuple[int, ...], answer: int) -> list[Instruction]:
    """Answer the call when the low 32 bits of an argument are none of `allowed`."""
    tests = [(_JEQ, len(allowed) - position, 0, value) for position, value in enumerate(allowed)]
    return _guarded(number, [(_LOAD, 0, 0, _ARGUMENTS + 8 * index), *tests, (_RETURN, 0, 0, answer)])


def argument_has(number: int, index: int, bits: int, answer: int) -> list[Instruction]:
    """Answer the call when an argument has any of `bits` set."""
    return _guarded(
        number, [(_LOAD, 0, 0, _ARGUMENTS + 8 * index), (_JSET, 0, 1, bits), (_RETURN, 0, 0, answer)]
    )


def argument_lacks(number: int, index: int, bits: int, answer: int) -> list[Instruction]:
    """Answer the call when an argument has none of `bits` set."""
    return _guarded(
        number, [(_LOAD, 0, 0, _ARGUMENTS + 8 * index), (_JSET, 1, 0, bits), (_RETURN, 0, 0, answer)]
    )


def both_are(number: int, first: tuple[int, int], second: tuple[int, int], answer: int) -> list[Instruction]:
    """Answer the call when two arguments, given as (index, value), both match."""
    return _guarded(
        number,
        [
            (_LOAD, 0, 0, _ARGUMENTS + 8 * first[0]),
            (_JEQ, 0, 3, first[1]),
            (_LOAD, 0, 0, _ARGUMENTS + 8 * second[0]),
            (_JEQ, 0, 1, second[1]),
            (_RETURN, 0, 0, answer),
        ],
    )


def _guarded(number: int, body: list[Instruction]) -> list[Instruction]:
    # The body overwrites the accumulator; the number is loaded again behind it.
    return [(_JEQ, 0, len(body) + 1, number), *body, (_LOAD, 0, 0, _NUMBER)]


class Program:
    """Assembled code in memory that the kernel can read, with words that can be changed later."""

    def __init__(self, code: list[Instruction]) -> None:
        code = [*code, (_RETURN, 0, 0, _ALLOW)]
        raw = b"".join(struct.pack("=HBBI", *line) for line in code)
        self._code = ctypes.create_string_buffer(raw, len(raw))
        self._header = ctypes.create_string_buffer(
            struct.pack("@HP", len(code), ctypes.addressof(self._code)), 16
        )
        self.address = ctypes.addressof(self._header)
        self.length = len(code)
        self._lines = code

    def replace(self, placeholder: int, value: int) -> None:
        """Put `value` where a comparison names `placeholder`."""
        for index, line in enumerate(self._lines):
            if line[0] == _JEQ and line[3] == placeholder:
                struct.pack_into("=I", self._code, index * 8 + 4, value & 0xFFFF_FFFF)

    def lines(self) -> list[Instruction]:
        """Return the code as (code, jump if true, jump if false, value)."""
        raw = self._code.raw
        return [struct.unpack_from("=HBBI", raw, index * 8) for index in range(self.length)]
