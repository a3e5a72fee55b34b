"""The Gateway port on HAProxy: files first, then the running workers.

Deciding what differs is in `plan`; this module keeps what HAProxy holds,
carries plans out and falls back to one reload whenever an answer is unexpected.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from control_plane.adapters.gateway.commands import Command
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
from control_plane.adapters.gateway.plan import Plan, delete_from, plan_change
from control_plane.adapters.gateway.runtime_socket import Master, RuntimeSocket, UnexpectedAnswer
from control_plane.adapters.gateway.sessions import cut_sessions
from control_plane.adapters.gateway.sharing import part_of
from control_plane.adapters.gateway.slots import assign_slots
from control_plane.adapters.gateway.start import write_first_files
from control_plane.domain.desired import GatewayState
from control_plane.domain.hop_tokens import HopTokens
from control_plane.errors import Unavailable
from control_plane.ports import Clock, GatewayChange

__all__ = ["HAProxyGateway"]

_STATE_MAPS = tuple(name for name in MAP_NAMES if name != "lease")


class HAProxyGateway:
    """Keeps one HAProxy at the wanted state. One process at a time may own it."""

    def __init__(self, settings: GatewaySettings, clock: Clock, hops: HopTokens | None = None) -> None:
        """`hops` makes the tokens that a cluster's pods ask for; None where functions run on this machine."""
        self._settings = settings
        self._clock = clock
        self._hops = hops
        self._admin = RuntimeSocket(settings.admin_socket)
        self._master = Master(settings.master_socket)
        write_first_files(settings)
        # What HAProxy holds, stale entries and servers included.
        self._slots, self._servers = decode_servers(settings.servers_file.read_text(encoding="utf-8"))
        self._maps: Maps = {name: read_map(settings.map_file(name)) for name in _STATE_MAPS}
        # Since when nothing points at them, in milliseconds.
        self._stale_entries: dict[tuple[str, str], int] = {}
        self._stale_slots: dict[int, int] = {}
        self._reloaded_at = 0

    def apply(self, state: GatewayState) -> GatewayChange:
        """Make the state live; an unchanged state sends nothing. Raises Invalid, Unavailable."""
        state = part_of(state, self._settings.replicas)
        tidied = self._tidy()
        wanted, slots = assign_slots(state.targets, self._servers, self._slots, self._settings.ingress)
        numbers = {server.target: slot for slot, server in wanted.items()}
        maps = make_maps(state, numbers, self._tokens(one.function for one in state.policies))
        plan = plan_change(self._settings, (self._maps, self._servers), (maps, wanted))
        self._note_stale(plan, maps, wanted)
        must_reload = plan.reload or slots != self._slots or self._settings.changing_file.exists()
        if not plan.commands and not must_reload:
            return GatewayChange(commands=tidied, lingering=self._lingering())
        before = self._process()
        self._write(maps, slots, wanted)
        reloaded = self._make_live(plan.commands, before, must_reload)
        if before is not None or reloaded:
            # Without a running gateway the marker stays: a start may be reading the files this moment.
            self._settings.changing_file.unlink(missing_ok=True)
        commands = 0 if reloaded or before is None else tidied + len(plan.commands)
        return GatewayChange(commands=commands, reloaded=reloaded, lingering=self._lingering())

    def renew_hops(self) -> int:
        """Give the functions' pods newer tokens when it is time; returns the commands sent."""
        tokens = self._tokens(self._maps["policies"])
        if tokens == self._maps["hop"]:
            return 0
        maps = {**self._maps, "hop": tokens}
        live = (self._maps, self._servers)
        plan = plan_change(self._settings, live, (maps, self._servers))
        if not plan.commands:
            return 0
        must_reload = self._settings.changing_file.exists()
        before = self._process()
        self._write(maps, self._slots, self._servers)
        reloaded = self._make_live(plan.commands, before, must_reload)
        if before is not None or reloaded:
            self._settings.changing_file.unlink(missing_ok=True)
        return 0 if reloaded or before is None else len(plan.commands)

    def _tokens(self, functions: Iterable[str]) -> dict[str, str]:
        return self._hops.of(functions) if self._hops else {}

    def cut(self, target_or_key: str) -> int:
        """End the open sessions of a target, or the open streams of a key, in every worker."""
        if self._process() is None:
            return 0
        ended = 0
        for worker in self._master.workers():
            # A draining worker may end between the two questions.
            with contextlib.suppress(*((OSError,) if worker.draining else ())):
                ended += cut_sessions(self._master.worker(worker.pid), target_or_key)
        return ended

    def renew_lease(self, until: int) -> bool:
        """Let calls through until this Unix second; returns whether a running gateway heard it."""
        return renew_lease(self._settings, until)

    def _process(self) -> str | None:
        """Return the serving worker's process id; None while none serves."""
        try:
            return self._admin.process() if self._admin.running() else None
        except OSError:
            return None

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
            self._reload()
            self._reloaded_at = self._clock.now_ms()
            # The worker that served until now drains, and must lose what was revoked.
            self._tell_draining(commands)
        return must_reload

    def _reload(self) -> None:
        """Start a worker from the files. Raises Unavailable; the marker then asks for another try."""
        try:
            self._master.reload()
        except (UnexpectedAnswer, OSError) as error:
            raise Unavailable(
                f"the gateway did not take its new configuration: {error}",
                hint="the old one still serves; see the gateway's log in the logs folder",
            ) from error

    def _tell_draining(self, commands: tuple[Command, ...]) -> None:
        """Take rights away in draining workers too; one that ends meanwhile is fine.

        They cannot get new servers, so they keep their routes: see `_tidy`.
        """
        rights = [command for command in commands if command.everywhere]
        if not rights:
            return
        with contextlib.suppress(OSError):
            for worker in self._master.workers():
                if worker.draining:
                    for command in rights:
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

    def _tidy(self) -> int:
        """Remove what has been stale for the grace, unless it is in use; returns the commands sent."""
        ripe = self._clock.now_ms() - self._settings.grace_ms
        entries = [entry for entry, since in self._stale_entries.items() if since <= ripe]
        # Kept connections of a draining worker may bring one more call for its old servers.
        drained = self._clock.now_ms() - self._settings.idle_timeout_ms
        slots = [slot for slot, since in self._stale_slots.items() if since <= ripe]
        if self._reloaded_at > drained:
            slots = []
        if not entries and not slots:
            return 0
        commands = [each for name, key in entries for each in delete_from(self._settings, name, [key])]
        try:
            running = self._admin.running()
            if running:
                self._admin.send(commands)
            gone = [slot for slot in slots if not running or self._delete_server(slot)]
        except (UnexpectedAnswer, OSError):
            # Nothing depends on what is stale; a restarting gateway is asked again later.
            return 0
        self._forget(entries, gone)
        return len(commands) + len(gone) if running else 0

    def _forget(self, entries: list[tuple[str, str]], slots: list[int]) -> None:
        for name, key in entries:
            self._maps[name].pop(key, None)
            del self._stale_entries[name, key]
        for name in sorted({name for name, _ in entries}):
            write_atomically(self._settings.map_file(name), encode_map(self._maps[name]))
        for slot in slots:
            del self._stale_slots[slot]
        left = {slot: server for slot, server in self._servers.items() if slot not in slots}
        self._store_servers(self._slots, left)

    def _delete_server(self, slot: int) -> bool:
        """Delete a server that nobody uses or waits for; says whether it is gone."""
        name = f"s{slot}/{self._servers[slot].target}"
        if not self._idle(slot):
            return False
        self._admin.ask(f"set server {name} state maint")
        answer = self._admin.ask(f"del server {name}").strip()
        if answer in {"Server deleted.", "No such server."}:
            return True
        # Its target may be wanted again before the next try.
        self._admin.ask(f"enable server {name}")
        return False

    def _idle(self, slot: int) -> bool:
        """Say whether a slot has neither a queue (qcur) nor sessions (scur).

        A call that finds its only server full waits in the backend's queue, not the server's.
        """
        rows = (line.split(",") for line in self._admin.ask(f"show stat s{slot} 6 -1").splitlines())
        return all(row[2] == "0" and row[4] == "0" for row in rows if row[0] == f"s{slot}")
