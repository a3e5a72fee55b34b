"""The function host's process: wires the parts, starts, drains, ends.

Never runs user code and never imports the web or database stack: a host must
be small and start at once.
"""

from __future__ import annotations

import binascii
import contextlib
import logging
import os
import resource
import signal
import socket
from collections.abc import Mapping
from dataclasses import replace

from control_plane.adapters.embedded.host.activation import Activation
from control_plane.adapters.embedded.host.adoption import adopt_all
from control_plane.adapters.embedded.host.births import Births
from control_plane.adapters.embedded.host.bytecode import Bytecode
from control_plane.adapters.embedded.host.config import HostConfig, default_memory_mb
from control_plane.adapters.embedded.host.control import Control
from control_plane.adapters.embedded.host.interpreters import running_runtime
from control_plane.adapters.embedded.host.listening import Listeners
from control_plane.adapters.embedded.host.log_files import LogFiles
from control_plane.adapters.embedded.host.log_pipes import LogPipes
from control_plane.adapters.embedded.host.loop import Loop, SystemClock
from control_plane.adapters.embedded.host.machine import Machine, UserIds
from control_plane.adapters.embedded.host.memory_groups import MemoryGroups
from control_plane.adapters.embedded.host.operations import Operations
from control_plane.adapters.embedded.host.reaper import Reaper, become_subreaper
from control_plane.adapters.embedded.host.records import Records
from control_plane.adapters.embedded.host.retirement import Retirement
from control_plane.adapters.embedded.host.store_client import NoStore, store_from_environment
from control_plane.adapters.embedded.host.tenancy import Tenancy
from control_plane.adapters.embedded.host.tmp_folders import TmpFolders
from control_plane.adapters.embedded.host.unix_diag import UnixDiag
from control_plane.adapters.embedded.host.watching import Watcher
from control_plane.adapters.embedded.host.wishes import Wishes

__all__ = ["run"]

_log = logging.getLogger(__name__)


def run(config: HostConfig, environment: Mapping[str, str] | None = None) -> int:
    """Serve until SIGTERM; returns the exit status."""
    environment = os.environ if environment is None else environment
    _raise_descriptor_limit()
    host = _Host(_filled_in(config), environment)
    host.start()
    _say_ready(environment)
    host.loop.run()
    host.close()
    return 0


class _Host:
    """The running parts."""

    def __init__(self, config: HostConfig, environment: Mapping[str, str]) -> None:
        self.loop = Loop(SystemClock())
        store = store_from_environment(environment)
        supervised = not isinstance(store, NoStore)
        if not supervised:
            become_subreaper()
        most = config.log_mb_per_day << 20, config.log_mb_total << 20
        files = LogFiles(config.folder / "logs", *most, days=config.log_days)
        self.machine = Machine(
            config=config,
            loop=self.loop,
            store=store,
            pipes=LogPipes(self.loop, files),
            records=Records(config.folder / "records.log"),
            reaper=Reaper(store),
            diag=UnixDiag(),
            groups=MemoryGroups(config.sandbox, _group_name(config)),
            uids=UserIds(config.uid_base, config.uid_count),
            tmp=TmpFolders(config.folder / "tmp", needed=config.isolation != "namespaces"),
            bytecode=Bytecode(
                self.loop, config.layers, config.bytecode, usable=config.isolation == "namespaces"
            ),
            tenancy=Tenancy(config.folder / "organization", config.isolation),
            supervised=supervised,
        )
        listeners = Listeners(config.sockets, store, config.backlog, config.gateway_uid)
        self.births = Births(self.machine)
        self.activation = Activation(self.machine, self.births, listeners)
        retirement = Retirement(config.folder, store)
        self.watcher = Watcher(self.machine, self.activation, listeners, retirement)
        self.wishes = Wishes(self.machine, self.activation, listeners, retirement)
        self.control: Control | None = None

    def start(self) -> None:
        """Listen for everything that is wanted, take over what runs, then take orders."""
        self._handle_signals()
        self.activation.level1.get(running_runtime())
        self.wishes.restore()
        targets = self.activation.targets
        adopted = adopt_all(
            self.machine, self.births, lambda name: targets[name].wanted if name in targets else None
        )
        for target, instance in adopted:
            self.wishes.adopt(instance, target)
            self.births.attend(instance)
        self.machine.groups.sweep()
        self.machine.tmp.sweep({instance.id for _, instance in adopted})
        operations = Operations(self.machine, self.births, self.activation, self.wishes)
        config = self.machine.config
        self.control = Control(self.loop, config.control_socket, config.control_uid, operations.table())

    def drain(self) -> None:
        """Start nothing more, let requests finish; the sockets stay in the store."""
        if self.activation.stopping:
            return
        self.activation.stopping = True
        if self.control is not None:
            self.control.close()
        for target in self.activation.all_targets():
            self.activation.disarm(target)
        for instance in list(self.births.instances.values()):
            instance.ask_to_end("drained")
            self.births.give_up(instance)
        self.activation.level2.stop()
        self.machine.bytecode.stop()
        self.loop.after(self.machine.config.drain_s, self._kill_all)
        self._end_when_empty()

    def close(self) -> None:
        """Release what the process holds."""
        self.activation.level1.stop()
        self.machine.groups.close()
        self.machine.records.close()
        self.machine.diag.close()
        self.loop.close()

    def _kill_all(self) -> None:
        for instance in list(self.births.instances.values()):
            instance.kill("drained")

    def _end_when_empty(self) -> None:
        left = self.births.instances or self.births.exits.unrecorded
        if left or self.activation.level2.alive() or self.machine.bytecode.busy:
            self.loop.after(0.02, self._end_when_empty)
        else:
            self.loop.stop()

    def _handle_signals(self) -> None:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        self._wakeup = (ours, theirs)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            # The wake-up descriptor carries them; a handler must exist for that.
            signal.signal(number, lambda _number, _frame: None)
        self.loop.watch(ours.fileno(), self._signalled)

    def _signalled(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            numbers = set(self._wakeup[0].recv(4096))
            if signal.SIGCHLD in numbers:
                self.machine.reaper.collect()
            if numbers & {signal.SIGTERM, signal.SIGINT}:
                self.drain()


def _filled_in(config: HostConfig) -> HostConfig:
    for folder in (config.folder / "logs", config.sockets, config.bytecode):
        folder.mkdir(parents=True, exist_ok=True)
    return replace(config, memory_mb=config.memory_mb or default_memory_mb())


def _group_name(config: HostConfig) -> str:
    return f"ingot-{binascii.crc32(os.fsencode(config.folder.absolute())):08x}"


def _raise_descriptor_limit() -> None:
    """Each target holds a descriptor and each instance five: the default of 1,024 is soon used up."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _say_ready(environment: Mapping[str, str]) -> None:
    number = environment.get("INGOT_READY_FD", "")
    if number:
        with contextlib.suppress(OSError):
            os.write(int(number), b"READY=1\n")
        os.close(int(number))
