"""What every process does at its start and end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from control_plane.process import inherited_keys, log_to_stderr, say_ready, stop_event


@pytest.fixture
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_keys_are_read_once_and_neither_the_descriptor_nor_its_number_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    os.write(writing, b'{"master": "bQ=="}')
    os.close(writing)
    monkeypatch.setenv("INGOT_SECRETS_FD", str(reading))
    assert inherited_keys() == {"master": "bQ=="}
    assert "INGOT_SECRETS_FD" not in os.environ
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)
    assert inherited_keys() == {}


def test_readiness_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setenv("INGOT_READY_FD", str(writing))
    say_ready()
    say_ready()
    with os.fdopen(reading, "rb") as told:
        # The end of the file shows that the writing end was closed.
        assert told.read() == b"READY=1\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_stop_event(signals: None, number: signal.Signals) -> None:
    stop = stop_event()
    assert not stop.is_set()
    signal.raise_signal(number)
    assert stop.wait(5)


def test_a_log_line_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("worker", "error", "two\nlines", error=ValueError("x"), count=2)
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    record = json.loads(line)
    assert record.pop("ts") > 1_600_000_000_000
    assert record == {
        "level": "error",
        "role": "worker",
        "message": "two\nlines",
        "error": "x",
        "count": 2,
    }
