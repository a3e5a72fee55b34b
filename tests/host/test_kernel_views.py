"""What the host reads from the kernel and from shared memory."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from control_plane.adapters.embedded.host.listening import Listeners, bind_listener
from control_plane.adapters.embedded.host.loop import Loop, SystemClock
from control_plane.adapters.embedded.host.slot_table import SlotTable
from control_plane.adapters.embedded.host.store_client import NoStore
from control_plane.adapters.embedded.host.unix_diag import UnixDiag, parse_answer


def test_pending_connections_backlog_and_shutdown_are_seen(tmp_path: Path) -> None:
    listener = bind_listener(tmp_path / "s", 50, None)
    diag = UnixDiag()
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for one in waiting:
        one.connect(str(tmp_path / "s"))
    state = diag.ask(listener)
    assert state is not None
    assert (state.pending, state.backlog, state.hung_up) == (3, 50, False)
    listener.shutdown(socket.SHUT_RDWR)
    state = diag.ask(listener)
    assert state is not None
    assert state.hung_up
    for one in (*waiting, listener):
        one.close()
    diag.close()


@pytest.mark.parametrize("length", [0, 3, 16, 20, 30])
def test_a_short_netlink_answer_is_not_believed(length: int) -> None:
    assert parse_answer(struct.pack("=IHHII", 64, 20, 0, 0, 0)[:length].ljust(length, b"\0")) is None


def test_a_malformed_attribute_ends_the_parsing() -> None:
    body = struct.pack("=IHHII", 40, 20, 0, 0, 0) + bytes(16) + struct.pack("=HH", 2, 4) + bytes(4)
    state = parse_answer(body)
    assert state is not None
    assert state.pending == 0


def test_a_slot_table_is_read_as_the_instance_writes_it() -> None:
    table = SlotTable.create(2)
    assert list(table.busy()) == []
    os.pwrite(table.descriptor, struct.pack("<IIQQ", 1, 9, 100, 200), 128)
    os.pwrite(table.descriptor, struct.pack("<QQI", 5, 77, 1), 8)
    (busy,) = table.busy()
    assert (busy.slot, busy.sequence, busy.start_ns, busy.deadline_ns) == (2, 9, 100, 200)
    assert (table.served, table.last_active_ns, table.draining) == (5, 77, True)
    again = SlotTable.adopt(os.dup(table.descriptor))
    assert again.slots == 2
    for one in (table, again):
        one.close()


def test_a_slot_table_cannot_be_cut_short() -> None:
    table = SlotTable.create(1)
    with pytest.raises(PermissionError):
        os.ftruncate(table.descriptor, 0)
    table.close()


def test_a_foreign_file_is_not_adopted_as_a_table(tmp_path: Path) -> None:
    descriptor = os.memfd_create("other", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, 128)
    with pytest.raises(ValueError, match="sealed"):
        SlotTable.adopt(descriptor)
    os.close(descriptor)


def test_a_socket_is_for_its_owner_alone_and_its_path_short(tmp_path: Path) -> None:
    listeners = Listeners(tmp_path, NoStore(), 10, None)
    listener = listeners.make("t1")
    assert listeners.path("t1").stat().st_mode & 0o777 == 0o600
    again = listeners.make("t1")
    assert [path.name for path in tmp_path.iterdir()] == ["t1.sock"]
    for one in (listener, again):
        one.close()
    with pytest.raises(OSError, match="90 bytes"):
        bind_listener(tmp_path / ("x" * 90), 10, None)


def test_a_failing_callback_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop(SystemClock())
    seen: list[int] = []

    def fail() -> None:
        raise RuntimeError("one target's trouble")

    loop.after(0.0, fail)
    loop.after(0.0, lambda: seen.append(1))
    loop.after(0.0, lambda: seen.append(2)).cancel()
    loop.turn(0.1)
    loop.turn(0.0)
    loop.close()
    assert seen == [1]
    assert "one target's trouble" in caplog.text
