"""The log pipe: frames, captured output, cuts, and a host that does not read."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingot_shim import logpipe

from .harness import Instance, until


def test_output_of_every_kind_arrives(tmp_path: Path) -> None:
    source = """
    import os, sys
    print("while importing")
    def execute(input, context):
        print("a", "b", end="")
        print("c")
        sys.stderr.write("problem\\n")
        sys.stdout.buffer.write(b"\\xff bytes\\n")
        os.write(1, b"raw line\\n")
        context.logger.debug("hidden")
        context.logger.critical("shown", extra={"object": object, "number": 1})
        try:
            1 / 0
        except ZeroDivisionError:
            context.logger.exception("caught")
    """
    with Instance(tmp_path, source) as instance:
        instance.post(1)
        records = instance.log()
        assert records[0] == {"r": "", "l": "info", "m": "while importing"}
        assert records[1] == {"r": "req-1", "l": "info", "m": "a bc"}
        assert records[2] == {"r": "req-1", "l": "error", "m": "problem"}
        assert records[3] == {"r": "req-1", "l": "info", "m": "� bytes"}
        assert records[4] == {"raw": "raw line"}
        assert (records[5]["l"], records[5]["m"], records[5]["f"]["number"]) == ("critical", "shown", 1)
        assert "ZeroDivisionError" in records[6]["f"]["traceback"]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_full_pipe_never_blocks_a_handler(tmp_path: Path, kind: str) -> None:
    source = f"""
    import os
    {kind} execute(input, context):
        for number in range(input):
            print("x" * 500, number)
            context.logger.info("y" * 500)
        try:
            os.write(2, b"z" * 1000)
        except BlockingIOError:
            pass
        return "done"
    """
    with Instance(tmp_path, source) as instance:
        start = time.monotonic()
        assert instance.post(2000).json == "done"
        assert time.monotonic() - start < 5
        before = len(instance.log())
        assert before < 2000
        assert instance.post(1).json == "done"
        fresh = instance.log()[before:]
        lost = next(item for item in fresh if "log records were lost" in item.get("m", ""))
        assert lost["l"] == "warning"
        assert 2000 < int(lost["m"].split()[0]) <= 4000
        assert not [item for item in instance.log() if "raw" in item and "z" not in item["raw"]]


def test_long_records_are_cut_and_marked(tmp_path: Path) -> None:
    source = """
    import sys
    def execute(input, context):
        context.logger.info("ü" * 20_000)
        context.logger.info("short", extra={"big": "b" * 20_000})
        sys.stdout.write("line " * 5000 + "\\n")
    """
    with Instance(tmp_path, source) as instance:
        instance.post(1)
        records = instance.log()
        assert all(len(json.dumps(item, ensure_ascii=False).encode()) <= 8192 for item in records)
        assert records[0]["m"].endswith("… [cut]")
        assert records[0]["m"].startswith("üüü")
        assert records[1]["m"].startswith("short")
        assert "f" not in records[1]
        assert len(records) == 3
        assert records[2]["m"].endswith("… [cut]")


@given(
    st.text(max_size=20_000),
    st.dictionaries(
        st.text(max_size=20), st.one_of(st.text(max_size=9000), st.integers(), st.binary()), max_size=3
    ),
)
def test_any_record_is_one_short_line_of_json(message: str, fields: dict[str, Any]) -> None:
    frame = logpipe._frame("r" * 128, "info", message, fields)
    assert len(frame) <= logpipe.FRAME_LIMIT
    assert frame.endswith(b"\n")
    assert frame.count(b"\n") == 1
    assert set(json.loads(frame)) <= {"r", "l", "m", "f"}


def test_a_pipe_without_a_reader_harms_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    pipe = logpipe._Pipe(writer)
    pipe.write(b"frame\n")
    pipe.write(b"frame\n")
    assert pipe._dropped == 2
    os.close(writer)


def test_a_frame_written_in_part_is_finished_first() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    pipe = logpipe._Pipe(writer)
    frames = [f"{number:04d}".encode() + b"x" * 6000 + b"\n" for number in range(30)]
    for frame in frames:
        pipe.write(frame)
    read = b""
    for _ in range(20):
        try:
            read += os.read(reader, 1_000_000)
        except BlockingIOError:
            pipe.write(b"tail\n")
    lines = read.split(b"\n")
    whole = [line for line in lines if line.endswith(b"x")]
    assert all(len(line) == 6004 for line in whole)
    assert any(b"log records were lost" in line for line in lines)
    os.close(reader)
    os.close(writer)


def test_the_request_id_follows_threads_of_the_pool(tmp_path: Path) -> None:
    source = "def execute(input, context):\n    print('seen')\n"
    with Instance(tmp_path, source, limits={"concurrency": 3}) as instance:
        for number in range(6):
            instance.post(1, x_request_id=f"id-{number}")
        records = until(lambda: len(instance.log()) == 6 and instance.log(), "the records")
        assert {item["r"] for item in records} == {f"id-{number}" for number in range(6)}
