"""A very small assembler for seccomp filters: conditions on the number and arguments of a call.

Knows the machine format only; which calls are refused is said in `seccomp`.
The calls are found by a binary search: installing a filter makes the kernel try
it with every call number, which a plain list made four times as slow.
"""

from __future__ import annotations

import ctypes
import struct

__all__ = [
    "Instruction",
    "Program",
    "always",
    "argument_has",
    "argument_is",
    "argument_lacks",
    "argument_not_in",
    "both_are",
    "error",
]

_LOAD, _JUMP, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
# Numbers of the x32 ABI on x86_64 carry this bit.
_X32 = 0x4000_0000
_ALLOW = 0x7FFF_0000
_ENOSYS = 38

Instruction = tuple[int, int, int, int]


def error(number: int) -> int:
    """Return the filter's answer "do nothing and fail with this errno" (0: do nothing and succeed)."""
    return 0x0005_0000 | number


def always(answer: int) -> list[Instruction]:
    """Answer a call whatever its arguments."""
    return [(_RETURN, 0, 0, answer)]


def argument_is(index: int, value: int, answer: int) -> list[Instruction]:
    """Answer when the low 32 bits of an argument equal `value`."""
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * index), (_JEQ, 0, 1, value), (_RETURN, 0, 0, answer)]


def argument_not_in(index: int, allowed: tuple[int, ...], answer: int) -> list[Instruction]:
    """Answer when the low 32 bits of an argument are none of `allowed`."""
    tests = [(_JEQ, len(allowed) - position, 0, value) for position, value in enumerate(allowed)]
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * index), *tests, (_RETURN, 0, 0, answer)]


def argument_has(index: int, bits: int, answer: int) -> list[Instruction]:
    """Answer when an argument has any of `bits` set."""
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * index), (_JSET, 0, 1, bits), (_RETURN, 0, 0, answer)]


def argument_lacks(index: int, bits: int, answer: int) -> list[Instruction]:
    """Answer when an argument has none of `bits` set."""
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * index), (_JSET, 1, 0, bits), (_RETURN, 0, 0, answer)]


def both_are(first: tuple[int, int], second: tuple[int, int], answer: int) -> list[Instruction]:
    """Answer when two arguments, given as (index, value), both match."""
    return [
        (_LOAD, 0, 0, _ARGUMENTS + 8 * first[0]),
        (_JEQ, 0, 3, first[1]),
        (_LOAD, 0, 0, _ARGUMENTS + 8 * second[0]),
        (_JEQ, 0, 1, second[1]),
        (_RETURN, 0, 0, answer),
    ]


def _search(rules: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """Return a binary search over call numbers; the kernel walks it once for every number it knows."""
    if len(rules) == 1:
        number, body = rules[0]
        return [(_JEQ, 1, 0, number), (_RETURN, 0, 0, _ALLOW), *body, (_RETURN, 0, 0, _ALLOW)]
    middle = len(rules) // 2
    left, right = _search(rules[:middle]), _search(rules[middle:])
    # A conditional jump reaches 255 lines; the unconditional one any distance.
    return [(_JGE, 0, 1, rules[middle][0]), (_JUMP, 0, 0, len(left)), *left, *right]


def _assemble(arch: int, has_x32: bool, rules: dict[int, list[Instruction]]) -> list[Instruction]:
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH),
        (_JEQ, 1, 0, arch),
        (_RETURN, 0, 0, error(_ENOSYS)),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if has_x32:
        code += [(_JGE, 0, 1, _X32), (_RETURN, 0, 0, error(_ENOSYS))]
    return code + _search(sorted(rules.items()))


class Program:
    """Assembled code in memory that the kernel can read, with words that can be changed later.

    `rules` maps a call's number to the checks made one after the other; a call
    that none of its checks answers is allowed, as is every call without rules.
    """

    def __init__(self, arch: int, has_x32: bool, rules: dict[int, list[Instruction]]) -> None:
        self._lines = _assemble(arch, has_x32, rules)
        self.length = len(self._lines)
        raw = b"".join(struct.pack("=HBBI", *line) for line in self._lines)
        self._code = ctypes.create_string_buffer(raw, len(raw))
        header = struct.pack("@HP", self.length, ctypes.addressof(self._code))
        self._header = ctypes.create_string_buffer(header, len(header))
        self.address = ctypes.addressof(self._header)

    def replace(self, placeholder: int, value: int) -> None:
        """Put `value` where a comparison names `placeholder`."""
        for index, line in enumerate(self._lines):
            if line[0] == _JEQ and line[3] == placeholder:
                struct.pack_into("=I", self._code, index * 8 + 4, value & 0xFFFF_FFFF)

    def lines(self) -> list[Instruction]:
        """Return the code as (code, jump if true, jump if false, value)."""
        return [struct.unpack_from("=HBBI", self._code.raw, index * 8) for index in range(self.length)]
