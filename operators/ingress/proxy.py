"""Keeps one HAProxy at the wanted state: files first, then the running process.

What differs is decided in `change`. Nothing on disk is memory: a controller
that starts writes everything and reloads once, without dropping a call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from control_plane.adapters.gateway.certificate import make_self_signed
from control_plane.adapters.gateway.files import encode_map, write_atomically
from control_plane.adapters.gateway.runtime_socket import Master, RuntimeSocket, UnexpectedAnswer
from control_plane.errors import Unavailable
from operators.ingress.certificates import CertificateRefused, hide, listed, show, write_file, write_list
from operators.ingress.change import (
    Change,
    Leaving,
    changed_maps,
    keep_content,
    plan_change,
    unused_since,
)
from operators.ingress.config import render_config, render_slots
from operators.ingress.model import MAP_NAMES, Certificate, Desired, Server
from operators.ingress.settings import IngressSettings

__all__ = ["Applied", "IngressProxy"]

# Beyond these all are tried once more, as nobody may fill the memory with bad Secrets.
MOST_REFUSED = 10_000

_GONE = frozenset({"Server deleted.", "No such server.", "No such backend."})


@dataclass(frozen=True, slots=True)
class Applied:
    """What a change took."""

    live: bool
    commands: int = 0
    reloaded: bool = False


class IngressProxy:
    """The one owner of an HAProxy's files and runtime state."""

    def __init__(self, settings: IngressSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._admin = RuntimeSocket(settings.admin_socket)
        self._master = Master(settings.master_socket)
        # What HAProxy holds; None until all of it was loaded once.
        self._live: Desired | None = None
        self._since: dict[tuple[str, str], float] = {}
        self._idle: dict[str, float] = {}
        self._dying: dict[Leaving, Server] = {}
        self._shown: dict[str, Certificate] = {}
        # Why certificates were not taken, by id.
        self.refused: dict[str, str] = {}
        self._prepare()

    @property
    def running(self) -> bool:
        """Whether a worker serves."""
        return self._admin.running()

    def lingering(self) -> frozenset[str]:
        """Return the backends whose slots calls under way may still use."""
        ripe = self._clock() - self._settings.grace
        if self._live is None:
            return frozenset()
        return frozenset(name for name in self._live.positions.slots if self._idle.get(name, ripe + 1) > ripe)

    def apply(self, wanted: Desired) -> Applied:
        """Make a state live. Raises Unavailable; the next try then loads everything."""
        now = self._clock()
        before = self._live or Desired()
        kept = keep_content(before.maps, wanted, self._since, now - self._settings.grace)
        self._since = unused_since(kept.maps, wanted.maps, self._since, now)
        self._idle = {name: self._idle.get(name, now) for name in wanted.idle}
        whole = self._live is None or kept.positions.shape != before.positions.shape
        change = plan_change(self._settings, before, kept, self._dying)
        fresh = [each for name, each in kept.certificates.items() if name not in self._shown]
        fresh = [each for each in fresh if each.id not in self.refused]
        gone = self._shown.keys() - kept.certificates.keys()
        if not whole and not (change.servers or change.entries or change.leaving or fresh or gone):
            self._live = kept
            return Applied(live=True)
        # Asked before the files change: a process that starts after that has read the new ones.
        process = None if whole else self._process()
        self._write(before, kept, whole)
        reloaded = self._make_live(change, fresh, kept, process)
        self._live = kept
        return Applied(True, len(change.servers) + len(change.entries), reloaded)

    def tidy(self) -> None:
        """Delete servers that nobody uses any more; those still in use are tried again."""
        with contextlib.suppress(OSError):
            for number, name in list(self._dying):
                if self._admin.ask(f"del server k{number}/{name}").strip() in _GONE:
                    del self._dying[number, name]

    def forget(self) -> None:
        """Take nothing for granted: the next state is loaded as a whole."""
        self._live = None

    def _prepare(self) -> None:
        """Write what a start needs; certificates that HAProxy took before are taken again."""
        settings = self._settings
        settings.data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.run_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not settings.default_certificate.exists():
            pem = make_self_signed(["ingot.invalid"], 3_650, datetime.now(UTC))
            default = Certificate("default", pem, ())
            write_file(settings, default)
        for name in listed(settings) - {"default"}:
            self._shown[name] = Certificate(name, "", ())

    def _write(self, before: Desired, wanted: Desired, whole: bool) -> None:
        settings = self._settings
        for name in MAP_NAMES if whole else changed_maps(before.maps, wanted.maps):
            write_atomically(settings.map_file(name), encode_map(wanted.maps[name]), durable=False)
        if whole or wanted.servers != before.servers:
            slots = render_slots(wanted.positions.count, wanted.servers)
            write_atomically(settings.slots_file, slots, durable=False)
        if whole:
            self._list_shown(wanted)
            write_atomically(settings.config_file, render_config(settings, wanted.positions), durable=False)

    def _list_shown(self, wanted: Desired) -> None:
        """Write the list with what is wanted of that which HAProxy has taken."""
        kept = {name: each for name, each in wanted.certificates.items() if name in self._shown}
        self._shown = {name: kept.get(name, each) for name, each in self._shown.items()}
        write_list(self._settings, kept.values())

    def _process(self) -> str | None:
        try:
            return self._admin.process()
        except (UnexpectedAnswer, OSError):
            return None

    def _make_live(
        self, change: Change, fresh: list[Certificate], wanted: Desired, process: str | None
    ) -> bool:
        """Bring the running process to the files; returns whether that took a reload."""
        if process is not None and self._told(change, fresh, wanted, process):
            return False
        self._list_shown(wanted)
        self._reload()
        self._shown = {name: each for name, each in self._shown.items() if name in wanted.certificates}
        try:
            self._show(fresh, wanted)
        except OSError as error:
            raise Unavailable(f"the gateway broke off: {error}") from error
        return True

    def _told(self, change: Change, fresh: list[Certificate], wanted: Desired, process: str) -> bool:
        """Tell the running process what changes; says whether all of it was taken."""
        try:
            self._tell(change, fresh, wanted)
            told = self._admin.process() == process
        except (UnexpectedAnswer, OSError):
            told = False
        if not told:
            # What it holds is not known any more; the files are right.
            self._live = None
        return told

    def _tell(self, change: Change, fresh: list[Certificate], wanted: Desired) -> None:
        self._admin.send(change.servers)
        self._show(fresh, wanted)
        self._admin.send(change.entries)
        before = self._live.servers if self._live else {}
        for number, name in change.leaving:
            self._admin.ask(f"set server k{number}/{name} state maint")
            self._dying[number, name] = next(
                server for server in before.get(number, ()) if server.name == name
            )
        self._hide(wanted)
        self._dying = {
            (number, name): server
            for (number, name), server in self._dying.items()
            if server not in wanted.servers.get(number, ())
        }

    def _show(self, fresh: list[Certificate], wanted: Desired) -> None:
        for certificate in fresh:
            write_file(self._settings, certificate)
            try:
                show(self._settings, self._admin, certificate)
            except CertificateRefused as refused:
                if len(self.refused) >= MOST_REFUSED:
                    self.refused.clear()
                self.refused[certificate.id] = str(refused)
                self._settings.certificate_file(certificate.id).unlink(missing_ok=True)
                continue
            self._shown[certificate.id] = certificate
        if fresh:
            self._list_shown(wanted)

    def _hide(self, wanted: Desired) -> None:
        gone = self._shown.keys() - wanted.certificates.keys()
        if not gone:
            return
        self._list_shown(wanted)
        for name in gone:
            hide(self._settings, self._admin, name)
            del self._shown[name]
            self._settings.certificate_file(name).unlink(missing_ok=True)

    def _reload(self) -> None:
        """Start a worker from the files. Raises Unavailable; the next try is a whole one again."""
        self._live = None
        self._dying.clear()
        if not self.running:
            raise Unavailable("the gateway does not run yet; it starts from the files that are written now")
        try:
            self._master.reload()
        except (UnexpectedAnswer, OSError) as error:
            raise Unavailable(
                f"the gateway did not take its new configuration: {error}",
                hint="the old one still serves; see the gateway's log",
            ) from error
