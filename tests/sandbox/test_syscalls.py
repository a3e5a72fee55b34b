"""The table of system calls is the kernel's, and the filters say what they should on both architectures."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from ingot_sandbox import bpf, seccomp, syscalls

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
LISTENER = 7


def evaluate(program: bpf.Program, arch: int, number: int, *arguments: int) -> int:
    """Run a filter as the kernel would."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, arch, 0, *(value & (2**64 - 1) for value in padded))
    lines, at, word = program.lines(), 0, 0
    while True:
        code, yes, no, value = lines[at]
        at += 1
        if code == 0x20:
            word = struct.unpack_from("=I", data, value)[0]
        elif code == 0x06:
            return value
        elif code == 0x05:
            at += value
        else:
            holds = {0x15: word == value, 0x35: word >= value, 0x45: bool(word & value)}[code]
            at += yes if holds else no


@pytest.mark.parametrize("arch", HEADERS)
def test_numbers_are_those_of_the_kernels_headers(arch: str) -> None:
    if not HEADERS[arch].exists():
        pytest.skip("no kernel headers here")
    known = {
        name: int(value)
        for name, value in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[arch].read_text())
    }
    assert len(known) > 200
    for name in syscalls.TABLE:
        # Calls newer than the headers cannot be compared.
        if (number := syscalls.number(name, arch)) is not None and number < 450:
            assert known.get(name) == number, name


@pytest.mark.parametrize("arch", HEADERS)
@pytest.mark.parametrize("level", ["namespaces", "landlock"])
def test_final_filter_answers_each_call(arch: str, level: str) -> None:
    program = seccomp.instance_filter(level, arch)
    program.replace(0x7FFF_FF01, LISTENER)
    word = syscalls.AUDIT_ARCH[arch]

    def ask(name: str, *arguments: int) -> int:
        number = syscalls.number(name, arch)
        assert number is not None
        return evaluate(program, word, number, *arguments)

    assert ask("socket", 1, 1) == ask("mount") == ask("unshare", 0x10000000) == ask("recvmsg", 5) == EPERM
    assert ask("clone3") == ask("io_uring_setup") == ENOSYS
    assert ask("socketpair", 1, 1) == ask("socketpair", 1, 5 | 0o2000000) == ALLOW
    assert ask("socketpair", 1, 2) == ask("socketpair", 16, 3) == EPERM
    assert ask("clone", 0x10000000 | 17) == EPERM
    assert ask("clone", 0x00010000 | 0x100) == ALLOW
    assert ask("clone", 17) == (EPERM if level == "landlock" else ALLOW)
    assert ask("shutdown", LISTENER, 2) == ask("dup", LISTENER) == ask("fcntl", LISTENER, 1030) == EPERM
    assert ask("shutdown", 8, 2) == ask("dup", 8) == ask("fcntl", LISTENER, 3) == ALLOW
    assert ask("listen", LISTENER, 1) == 0x00050000
    assert ask("listen", 8, 1) == EPERM
    assert evaluate(program, 0x40000003, 20) == ENOSYS
    # read on x86_64, io_cancel on aarch64: a call without a rule.
    assert evaluate(program, word, 3) == ALLOW


def test_filters_of_templates_open_only_the_way_to_a_start() -> None:
    program = seccomp.template_filter("namespaces", "x86_64")
    word = syscalls.AUDIT_ARCH["x86_64"]
    assert evaluate(program, word, 272, 0x20000000) == ALLOW
    assert evaluate(program, word, 272, 0x10000000) == evaluate(program, word, 272, 0x20020000) == EPERM
    assert evaluate(program, word, 308, 5, 0x20000000) == ALLOW
    assert evaluate(program, word, 308, 5, 0) == EPERM
    assert evaluate(program, word, 165, 0, 0, 0, 6) == ALLOW
    # A bind mount and a remount are no part of a start.
    assert evaluate(program, word, 165, 0, 0, 0, 4096) == evaluate(program, word, 165, 0, 0, 0, 32) == EPERM
