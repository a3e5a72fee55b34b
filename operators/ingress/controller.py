"""One turn after another: what is known becomes what shall be, is made live, is proven, is reported.

No decision about routes is made here: `desired` does that, `proxy` carries it out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from control_plane.adapters.gateway.runtime_socket import UnexpectedAnswer
from control_plane.errors import Unavailable
from operators.ingress.backends import external_names
from operators.ingress.desired import Before, Translator
from operators.ingress.kingress import KIngress
from operators.ingress.model import Desired, Pending, Positions, Verdict
from operators.ingress.objects import Watched
from operators.ingress.probe import is_live
from operators.ingress.proxy import IngressProxy
from operators.ingress.report import Reporter
from operators.ingress.resolver import Resolver
from operators.ingress.settings import IngressSettings
from operators.ingress.status import Reported, make_status
from operators.ingress.store import Store

__all__ = ["Controller", "Timing"]

log = logging.getLogger(__name__)

# A turn without a change: servers that are free by now, what a restart lost, patience that ends.
IDLE_S = 1.0
# What passes within this is not worth a status: addresses come a moment after the rules.
HUSH_S = 0.5
# A status that the API server does not show after this is written again.
REPEAT_S = 5.0
RETRY_S = 0.05


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the parts of a turn took, in seconds."""

    compute: float = 0.0
    apply: float = 0.0


@dataclass(slots=True)
class _Memory:
    """What one turn leaves for the next."""

    positions: Positions = field(default_factory=Positions)
    accepted: dict[str, KIngress] = field(default_factory=dict)
    # The hash that was found live, by Ingress.
    confirmed: dict[str, str] = field(default_factory=dict)
    # Since when an Ingress's present rules cannot be ready.
    pending_since: dict[tuple[str, str], float] = field(default_factory=dict)
    # What was last sent to be reported, and when.
    told: dict[str, tuple[tuple[int, Pending | None], float]] = field(default_factory=dict)


class Controller:
    """Joins the store, the proxy and the reporter."""

    def __init__(
        self,
        settings: IngressSettings,
        store: Store,
        proxy: IngressProxy,
        reporter: Reporter,
        resolver: Resolver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._store = store
        self._proxy = proxy
        self._reporter = reporter
        self._resolver = resolver
        self._clock = clock
        self._translator = Translator(settings.ingress_class, settings.cluster_domain)
        self._memory = _Memory()
        self.timing = Timing()

    def run(self, stopped: threading.Event) -> None:
        """Take turns until stopped."""
        pause = IDLE_S
        while not stopped.is_set():
            self._store.changed.wait(pause)
            self._store.changed.clear()
            if not self._store.complete:
                pause = IDLE_S
                continue
            try:
                pause = IDLE_S if self.turn() else RETRY_S
            except (Unavailable, UnexpectedAnswer, OSError) as error:
                log.warning("%s", error)
                pause = RETRY_S * 10
            except Exception:
                log.exception("a turn failed; everything is loaded anew")
                self._proxy.forget()
                pause = IDLE_S

    def turn(self) -> bool:
        """Take one turn; says whether everything that can be live is."""
        snapshot = self._store.snapshot(self._resolver.known())
        watched = snapshot.watched
        self._resolver.want(external_names(watched, self._settings.cluster_domain))
        began = time.perf_counter()
        desired = self._desired(watched)
        computed = time.perf_counter()
        refused = len(self._proxy.refused)
        applied = self._proxy.apply(desired)
        self._memory.positions = desired.positions
        self.timing = Timing(computed - began, time.perf_counter() - computed)
        if applied.commands or applied.reloaded:
            log.info(
                "%s in %.1f + %.1f ms",
                "reloaded" if applied.reloaded else f"{applied.commands} commands",
                self.timing.compute * 1e3,
                self.timing.apply * 1e3,
            )
        self._remember(watched, desired)
        settled = self._report(desired.verdicts, snapshot.reported)
        self._proxy.tidy()
        return settled and refused == len(self._proxy.refused)

    def _desired(self, watched: Watched) -> Desired:
        memory = self._memory
        patience = self._clock() - self._settings.patience
        return self._translator.desired(
            watched,
            Before(
                positions=memory.positions,
                lingering=self._proxy.lingering(),
                accepted=memory.accepted,
                impatient={key for (key, _), since in memory.pending_since.items() if since <= patience},
                refused_certificates=self._proxy.refused,
            ),
        )

    def _remember(self, watched: Watched, desired: Desired) -> None:
        memory, now = self._memory, self._clock()
        pending: dict[tuple[str, str], float] = {}
        for verdict in desired.verdicts:
            if not verdict.held:
                memory.accepted[verdict.key] = watched.ingresses[verdict.key]
            if verdict.pending is not None:
                place = (verdict.key, verdict.hash)
                pending[place] = memory.pending_since.get(place, now)
        memory.pending_since = pending
        ours = {verdict.key for verdict in desired.verdicts}
        for known in (memory.accepted, memory.confirmed, memory.told):
            for gone in known.keys() - ours:
                del known[gone]

    def _report(self, verdicts: tuple[Verdict, ...], reported: Mapping[str, Reported]) -> bool:
        """Prove what can be ready, and say so; returns whether nothing is left to prove."""
        settled = True
        now = self._clock()
        for verdict in verdicts:
            if verdict.pending is None and not self._confirmed(verdict):
                settled = False
                continue
            if verdict.pending is not None and not self._worth_saying(verdict):
                continue
            before = reported.get(verdict.key, Reported())
            if before.says(verdict.generation, verdict.pending, self._settings):
                continue
            words = (verdict.generation, verdict.pending)
            told = self._memory.told.get(verdict.key)
            # The watch shows a moment later what was written; what it never shows is written again.
            if told is not None and told[0] == words and told[1] > now - REPEAT_S:
                continue
            self._memory.told[verdict.key] = (words, now)
            written = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._reporter.report(verdict.key, make_status(*words, before, written, self._settings))
        return settled

    def _confirmed(self, verdict: Verdict) -> bool:
        if self._memory.confirmed.get(verdict.key) == verdict.hash:
            return True
        if not is_live(self._settings, verdict.probes, verdict.hash):
            return False
        self._memory.confirmed[verdict.key] = verdict.hash
        return True

    def _worth_saying(self, verdict: Verdict) -> bool:
        self._memory.confirmed.pop(verdict.key, None)
        since = self._memory.pending_since[verdict.key, verdict.hash]
        return since <= self._clock() - HUSH_S
