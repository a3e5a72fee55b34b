"""The supervisor's loop: starts the roles, restarts what dies, stops in order.

One thread, one selector. It is the child subreaper, so whatever any role
leaves behind ends here. It knows roles as data and no role's business.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from control_plane.supervisor.child import Child
from control_plane.supervisor.descriptors import DescriptorStore
from control_plane.supervisor.lock import start_time
from control_plane.supervisor.process_logs import set_aside_full
from control_plane.supervisor.restart import Restarts
from control_plane.supervisor.roles import Plan, Role

__all__ = ["Supervisor"]

_PR_SET_CHILD_SUBREAPER = 36
_READY_PATIENCE_S = 30.0
_LOGS_EVERY_S = 30.0
_DRAINED_EVERY_S = 0.2
_QUIET_CHECKS = 5
# The longest that a role waits for those which it comes after: the console is worth having without them.
_HOLD_S = 10.0
_LOOK_AGAIN_S = 0.02


class Supervisor:
    """Keeps a set of roles running until it is told to stop."""

    def __init__(
        self, plan: Plan, *, record: Callable[[dict[str, Any]], None], on_ready: Callable[[], None]
    ) -> None:
        """`record` keeps the list of processes for the next start; `on_ready` is called once."""
        self._plan, self._record, self._on_ready = plan, record, on_ready
        self._roles = {role.name: role for role in plan.roles}
        self._children: dict[str, Child] = {}
        self._restarts = {role.name: Restarts(role.longest_wait_s) for role in plan.roles}
        self._due: dict[str, float] = {}
        self._stores = {role.name: DescriptorStore() for role in plan.roles if role.store}
        self._stopping: list[str] | None = None
        self._announced = False
        self._ask_drained_at: float = 0.0
        self._quiet: int = 0
        self._began = 0.0
        self._look_at_logs_at = 0.0
        self._selector = selectors.DefaultSelector()
        self._control: socket.socket | None = None

    def run(self) -> None:
        """Run until SIGTERM, SIGINT or a `stop` on the control socket; returns when all have ended."""
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        wake = self._catch_signals()
        self._open_control()
        self._began = time.monotonic()
        self._due = dict.fromkeys(self._roles, self._began)
        try:
            while self._stopping is None or self._children:
                self._turn(wake)
        finally:
            self._end_descendants()
            for store in self._stores.values():
                store.close()
            if self._control is not None:
                self._control.close()
                (self._plan.run / "supervisor.sock").unlink(missing_ok=True)
            self._selector.close()

    def stop(self) -> None:
        """Begin to stop: the last role started goes first, each waits for the one before."""
        if self._stopping is None:
            self._stopping = list(self._roles)
            self._due.clear()
            self._stop_next()

    def _turn(self, wake: socket.socket) -> None:
        for key, _ in self._selector.select(self._timeout()):
            if key.fileobj is wake:
                self._take_signals(wake)
            elif key.fileobj is self._control:
                self._answer_control()
            elif isinstance(key.data, tuple):
                self._take_child_event(*key.data)
        self._reap()
        now = time.monotonic()
        if now >= self._look_at_logs_at:
            self._look_at_logs_at = now + _LOGS_EVERY_S
            set_aside_full(self._plan.logs, self._plan.log_bytes)
        for name in [name for name, due in self._due.items() if due <= now]:
            if self._holds(self._roles[name], now):
                self._due[name] = now + _LOOK_AGAIN_S
                continue
            del self._due[name]
            self._start(name)
        for child in self._children.values():
            self._watch(child, now)

    def _holds(self, role: Role, now: float) -> bool:
        """Say whether a role's first start has to wait for those before it."""
        if self._announced or now - self._began > _HOLD_S:
            return False
        return not all(name in self._children and self._children[name].ready for name in role.after)

    def _timeout(self) -> float:
        if any(not child.ready or child.killed_at for child in self._children.values()):
            return _LOOK_AGAIN_S
        now = time.monotonic()
        return min([1.0, *(max(due - now, 0.0) for due in self._due.values())])

    def _start(self, name: str) -> None:
        role = self._roles[name]
        argv, environment = self._plan.commands[name]
        if role.ready_socket:
            (self._plan.run / role.ready_socket).unlink(missing_ok=True)
        child = Child(role, argv, environment, self._plan.logs / f"{name}.log")
        child.start(self._plan.listeners if role.listeners else {}, self._plan.secrets)
        self._children[name] = child
        if child.ready_pipe is not None:
            self._selector.register(child.ready_pipe, selectors.EVENT_READ, (name, "ready"))
        if child.store is not None:
            self._selector.register(child.store, selectors.EVENT_READ, (name, "store"))
        self._write_record()

    def _take_child_event(self, name: str, what: str) -> None:
        child = self._children.get(name)
        if child is None:
            return
        if what == "ready" and child.ready_pipe is not None and not child.read_ready():
            self._selector.unregister(child.ready_pipe)
        if what == "store" and child.store is not None and not self._stores[name].serve(child.store):
            self._selector.unregister(child.store)
            child.store.close()
            child.store = None

    def _watch(self, child: Child, now: float) -> None:
        if not child.ready and child.role.ready_socket:
            child.ready = _accepts(self._plan.run / child.role.ready_socket)
        if child.killed_at is not None and now - child.killed_at > child.role.patience_s:
            child.signal(signal.SIGKILL)
        elif child.killed_at is not None and child.role.name in self._plan.drained:
            self._end_when_quiet(child, now)
        elif not child.ready and child.killed_at is None and now - child.began > _READY_PATIENCE_S:
            # A role that never becomes ready is as good as dead.
            child.killed_at = now
            child.signal(signal.SIGKILL)
        if not self._announced and len(self._children) == len(self._roles):
            self._announced = all(other.ready for other in self._children.values())
            if self._announced:
                self._write_record()
                self._on_ready()

    def _end_when_quiet(self, child: Child, now: float) -> None:
        """End at once a role that has nothing left to finish, instead of waiting out its patience."""
        if now < self._ask_drained_at:
            return
        # Asked seldom: the answer comes from another process, and this one has others to watch.
        self._ask_drained_at = now + _DRAINED_EVERY_S
        self._quiet = self._quiet + 1 if self._plan.drained[child.role.name]() else 0
        # A call may be on its way on a connection that looks idle, so quiet must last a second.
        if self._quiet >= _QUIET_CHECKS:
            child.signal(signal.SIGTERM)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = next((found for found in self._children.values() if found.pid == pid), None)
            if child is None:
                for store in self._stores.values():
                    store.note_exit(pid, status)
            else:
                self._take_exit(child)

    def _take_exit(self, child: Child) -> None:
        name = child.role.name
        for channel in (child.ready_pipe, child.store):
            if channel is not None:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(channel)
        child.close()
        del self._children[name]
        if self._stopping is None:
            now = time.monotonic()
            self._due[name] = now + self._restarts[name].delay(now - child.began)
        else:
            self._stop_next()

    def _stop_next(self) -> None:
        while self._stopping:
            child = self._children.get(self._stopping[-1])
            if child is not None:
                if child.killed_at is None:
                    child.killed_at = time.monotonic()
                    child.signal(child.role.stop_signal)
                return
            self._stopping.pop()

    def _catch_signals(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        # The wake-up descriptor needs handlers that are functions; the byte it writes is what counts.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._selector.register(ours, selectors.EVENT_READ)
        self._wakers = (ours, theirs)
        return ours

    def _take_signals(self, wake: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in wake.recv(256):
                if number in (signal.SIGTERM, signal.SIGINT):
                    self.stop()

    def _open_control(self) -> None:
        path = self._plan.run / "supervisor.sock"
        path.unlink(missing_ok=True)
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._control.bind(str(path))
        path.chmod(0o600)
        self._control.listen(8)
        self._control.setblocking(False)
        self._selector.register(self._control, selectors.EVENT_READ)

    def _answer_control(self) -> None:
        if self._control is None:
            return
        with contextlib.suppress(OSError):
            connection, _ = self._control.accept()
            with connection:
                # A client that says nothing must not hold up the supervision.
                connection.settimeout(0.2)
                asked = connection.recv(256).strip()
                if asked == b"stop":
                    self.stop()
                connection.sendall(json.dumps(self._status()).encode() + b"\n")

    def _status(self) -> dict[str, Any]:
        return {
            "stopping": self._stopping is not None,
            "roles": {
                name: {
                    "pid": self._children[name].pid if name in self._children else 0,
                    "ready": name in self._children and self._children[name].ready,
                    "restarts": self._restarts[name].total,
                }
                for name in self._roles
            },
        }

    def _write_record(self) -> None:
        children = [[child.pid, start_time(child.pid)] for child in self._children.values()]
        self._record({"ready": self._announced, "children": children})

    def _end_descendants(self) -> None:
        """Kill and reap whatever a role has left behind, until nothing is left."""
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        while pids := children.read_text().split():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
