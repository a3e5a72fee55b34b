"""The Gateway port on HAProxy: files first, then the running workers.

Deciding what differs is in `plan`; this module keeps what HAProxy holds,
carries plans out and falls back to one reload whenever an answer is unexpected.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from control_plane.adapters.gateway.config import render_slots
from control_plane.adapters.gateway.files import (
    decode_servers,
    encode_map,
    encode_servers,
    read_map,
    write_atomically,
)
from control_plane.adapters.gateway.lease import renew_lease
from control_plane.adapters.gateway.maps import Maps, make_maps
from control_plane.adapters.gateway.model import MAP_NAMES, GatewaySettings, SlotServer
from control_plane.adapters.gateway.plan import Command, Plan, delete_entries, plan_change
from control_plane.adapters.gateway.runtime_socket import Master, RuntimeSocket, UnexpectedAnswer
from control_plane.adapters.gateway.sessions import cut_sessions
from control_plane.adapters.gateway.slots import assign_slots
from control_plane.adapters.gateway.start import write_first_files
from control_plane.domain.desired import GatewayState
from control_plane.ports import Clock, GatewayChange

__all__ = ["HAProxyGateway"]

_STATE_MAPS = tuple(name for name in MAP_NAMES if name != "lease")


class HAProxyGateway:
    """Keeps one HAProxy at the wanted state. One process at a time may own it."""

    def __init__(self, settings: GatewaySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._admin = RuntimeSocket(settings.admin_socket)
        self._master = Master(settings.master_socket)
        write_first_files(settings)
        # What HAProxy holds, stale entries and servers included.
        self._slots, self._servers = decode_servers(settings.servers_file.read_text(encoding="utf-8"))
        self._maps: Maps = {name: read_map(settings.map_file(name)) for name in _STATE_MAPS}
        # Since when nothing points at them, in milliseconds.
        self._stale_entries: dict[tuple[str, str], int] = {}
        self._stale_slots: dict[int, int] = {}

    def apply(self, state: GatewayState) -> GatewayChange:
        """Make the state live; an unchanged state sends nothing. Raises Invalid, Unavailable."""
        wanted, slots = assign_slots(state.targets, self._servers, self._slots)
        maps = make_maps(state, {server.target: slot for slot, server in wanted.items()})
        plan = plan_change(self._settings, (self._maps, self._servers), (maps, wanted))
        self._note_stale(plan, maps, wanted)
        must_reload = plan.reload or slots != self._slots or self._settings.changing_file.exists()
        if not plan.commands and not must_reload:
            return self._tidy()
        before = self._process()
        self._write(maps, slots, wanted)
        reloaded = self._make_live(plan.commands, before, must_reload)
        self._settings.changing_file.unlink(missing_ok=True)
        commands = 0 if reloaded or before is None else len(plan.commands)
        return GatewayChange(commands=commands, reloaded=reloaded, lingering=self._lingering())

    def cut(self, target_or_key: str) -> int:
        """End the open sessions of a target, or the open streams of a key, in every worker."""
        if self._process() is None:
            return 0
        return sum(
            cut_sessions(self._master.worker(worker.pid), target_or_key) for worker in self._master.workers()
        )

    def renew_lease(self, until: int) -> bool:
        """Let calls through until this Unix second; returns whether a running gateway heard it."""
        return renew_lease(self._settings, until)

    def _process(self) -> str | None:
        return self._admin.process() if self._admin.running() else None

    def _write(self, maps: Maps, slots: int, wanted: Mapping[int, SlotServer]) -> None:
        """Write what changed; the marker says that files and workers may differ until it is gone."""
        write_atomically(self._settings.changing_file, "")
        for name in ("keys", *(name for name in _STATE_MAPS if name != "keys")):
            kept = {
                key: value
                for (owner, key) in self._stale_entries
                if owner == name and (value := self._maps[name].get(key)) is not None
            }
            content = {**kept, **maps[name]}
            if content != self._maps[name]:
                write_atomically(self._settings.map_file(name), encode_map(content))
                self._maps[name] = content
        staying = {slot: self._servers[slot] for slot in self._stale_slots if slot in self._servers}
        self._store_servers(slots, {**staying, **wanted})

    def _store_servers(self, slots: int, servers: dict[int, SlotServer]) -> None:
        if (slots, servers) != (self._slots, self._servers):
            write_atomically(self._settings.servers_file, encode_servers(slots, servers))
            write_atomically(self._settings.slots_file, render_slots(self._settings, slots, servers))
            self._slots, self._servers = slots, servers

    def _make_live(self, commands: tuple[Command, ...], before: str | None, must_reload: bool) -> bool:
        """Bring the workers to the files; returns whether that took a reload."""
        if before is None:
            # A start reads the files; one that began while they were written is read again.
            if not self._admin.running():
                return False
            must_reload = True
        if not must_reload:
            try:
                self._admin.send(commands)
                self._tell_draining(commands)
                must_reload = self._admin.process() != before
            except (UnexpectedAnswer, OSError):
                must_reload = True
        if must_reload:
            self._tell_draining(commands)
            self._reload()
        return must_reload

    def _reload(self) -> None:
        """Start a worker from the files; nothing is stale in it but servers in their slots."""
        self._master.reload()

    def _tell_draining(self, commands: tuple[Command, ...]) -> None:
        """Take rights away in draining workers too; one that ends meanwhile is fine."""
        lines = [command for command in commands if command.everywhere]
        if not lines:
            return
        with contextlib.suppress(OSError):
            for worker in self._master.workers():
                if worker.draining:
                    for command in lines:
                        self._master.worker(worker.pid).ask(command.text)

    def _note_stale(self, plan: Plan, maps: Maps, wanted: Mapping[int, SlotServer]) -> None:
        now = self._clock.now_ms()
        for entry in plan.stale_entries:
            self._stale_entries.setdefault(entry, now)
        for slot in plan.stale_slots:
            self._stale_slots.setdefault(slot, now)
        for name, key in [entry for entry in self._stale_entries if entry[1] in maps[entry[0]]]:
            del self._stale_entries[name, key]
        for slot in [slot for slot in self._stale_slots if slot in wanted]:
            del self._stale_slots[slot]

    def _lingering(self) -> tuple[str, ...]:
        return tuple(self._servers[slot].target for slot in sorted(self._stale_slots))

    def _tidy(self) -> GatewayChange:
        """Remove what has been stale for the grace; what is still in use stays for a later turn."""
        ripe = self._clock.now_ms() - self._settings.grace_ms
        entries = [entry for entry, since in self._stale_entries.items() if since <= ripe]
        slots = [slot for slot, since in self._stale_slots.items() if since <= ripe]
        if not entries and not slots:
            return GatewayChange(lingering=self._lingering())
        running = self._admin.running()
        commands = [each for name, key in entries for each in delete_entries(self._settings, name, [key])]
        if running:
            self._admin.send(commands)
        for name, key in entries:
            self._maps[name].pop(key, None)
            del self._stale_entries[name, key]
        gone = [slot for slot in slots if not running or self._delete_server(slot)]
        for slot in gone:
            del self._stale_slots[slot]
        self._store_servers(
            self._slots, {slot: server for slot, server in self._servers.items() if slot not in gone}
        )
        for name in {name for name, _ in entries}:
            write_atomically(self._settings.map_file(name), encode_map(self._maps[name]))
        return GatewayChange(commands=len(commands) + len(gone), lingering=self._lingering())

    def _delete_server(self, slot: int) -> bool:
        """Delete a server that nobody uses or waits for; says whether it is gone."""
        name = f"s{slot}/{self._servers[slot].target}"
        if not self._idle(slot):
            return False
        self._admin.ask(f"set server {name} state maint")
        answer = self._admin.ask(f"del server {name}").strip()
        return answer in {"Server deleted.", "No such server."}

    def _idle(self, slot: int) -> bool:
        """Say whether a slot has neither a queue (qcur) nor sessions (scur).

        A call that finds its only server full waits in the backend's queue, not the server's.
        """
        rows = (line.split(",") for line in self._admin.ask(f"show stat s{slot} 6 -1").splitlines())
        return all(row[2] == "0" and row[4] == "0" for row in rows if row[0] == f"s{slot}")
