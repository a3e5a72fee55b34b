"""The public ports, and what a person is told when they cannot be opened."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.errors import Unavailable
from control_plane.settings import Settings, load_settings
from control_plane.supervisor.listeners import open_listeners


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "gateway").mkdir()
    loaded = load_settings(tmp_path, {"XDG_RUNTIME_DIR": ""})
    # 0 lets the kernel choose.
    return replace(loaded, listen=replace(loaded.listen, console_port=0, functions_port=0))


@contextmanager
def opened(settings: Settings) -> Iterator[dict[str, int]]:
    descriptors = open_listeners(settings)
    try:
        yield descriptors
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)


def test_both_ports_listen_and_the_log_is_only_appended_to(settings: Settings) -> None:
    (settings.data / "gateway" / "access.log").write_text("earlier\n")
    with opened(settings) as descriptors:
        for name in ("INGOT_FD_CONSOLE", "INGOT_FD_FUNCTIONS"):
            with socket.socket(fileno=os.dup(descriptors[name])) as listener:
                assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
                with socket.create_connection(listener.getsockname(), timeout=5):
                    pass
        log = descriptors["INGOT_FD_ACCESS_LOG"]
        assert fcntl.fcntl(log, fcntl.F_GETFL) & os.O_APPEND
        assert os.lseek(log, 0, os.SEEK_CUR) == len("earlier\n")


def test_a_taken_port_is_said_with_the_command_that_helps(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # The first port that is opened: nothing else is open when it fails.
        wanted = replace(settings, listen=replace(settings.listen, console_port=port))
        with pytest.raises(Unavailable) as caught:
            open_listeners(wanted)
    assert caught.value.message == f"Port {port} of 127.0.0.1 cannot be opened: another program uses it."
    assert caught.value.hint == f"Choose another one: INGOT_LISTEN_CONSOLE_PORT={port + 1000} make up"
