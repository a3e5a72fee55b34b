"""One decided change: its transaction, its actor, its audit entry and its events, together or not at all.

Every service works inside `Changes.change` or `Changes.read`. A refusal for
want of rights is recorded after the rollback, in a transaction of its own.
What a read can do stands in `views`; nearly every service needs both, so both
are to be had here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from control_plane.domain.audit import GENESIS, AuditEntry, link
from control_plane.domain.deliveries import Delivery, wanted_by
from control_plane.domain.events import Event, check_data, type_of
from control_plane.domain.identity import PLATFORM, Actor, Method
from control_plane.domain.ids import make_id
from control_plane.errors import Forbidden
from control_plane.ports import Clock, Entropy
from control_plane.services.views import Page, View, absent
from control_plane.store.tenant_wall import EVERYONE, NOBODY
from control_plane.store.unit_of_work import Store, UnitOfWork

__all__ = ["Change", "Changes", "Page", "View", "absent"]


@dataclass(slots=True)
class Change(View):
    """A writing transaction with its audit entry and events."""

    entropy: Entropy
    # What is being done, e.g. "review.approve"; the action of every audit entry in it.
    action: str
    # Set when something committed that the worker should look at.
    wakes: bool = False

    def new_id(self, noun: str) -> str:
        """Return a new id for a noun of `domain.ids`."""
        return make_id(noun, self.now_ms, self.entropy.bits(80))

    def happened(self, event: str, subject: str, data: Mapping[str, Any], **details: Any) -> None:
        """Record a fact: an event with `data`, and an audit entry with `data` and `details`."""
        self.emit(event, subject, data)
        self.record(subject, {**data, **details})

    def emit(self, event: str, subject: str, data: Mapping[str, Any]) -> None:
        """Put an event into the outbox, with exactly the data of the catalogue."""
        check_data(event, data)
        self.unit.outbox.add(
            Event(
                id=self.new_id("event"),
                organization=self.organization,
                type=type_of(event),
                subject=subject,
                time_ms=self.now_ms,
                data=data,
            )
        )
        self.wakes = True

    def record(self, subject: str, details: Mapping[str, Any], outcome: str = "done") -> None:
        """Append to the organization's audit chain."""
        actor = self.actor
        sequence, previous = self.unit.audit.head(self.organization)
        entry = AuditEntry(
            organization=self.organization,
            sequence=sequence + 1,
            id=self.new_id("audit_entry"),
            at_ms=self.now_ms,
            actor={
                "user": actor.user,
                "name": actor.name,
                "method": actor.method,
                "credential": actor.credential,
                "address": actor.address,
            },
            action=self.action,
            subject=subject,
            outcome=outcome,
            request=actor.request,
            details=details,
            previous=previous or GENESIS,
            hash="",
        )
        self.unit.audit.append(entry, link(entry))

    def refresh_rights(self) -> None:
        """Decide with what the actor holds at this moment, not with what they came with.

        Giving rights away must not race with losing them: the audit chain is locked by now.
        """
        if self.actor.method not in {Method.SYSTEM, Method.NOBODY}:
            held = self.unit.identity.rights(self.organization, self.actor.user)
            self.actor = replace(self.actor, bindings=held)

    def acting_as(self, actor: Actor) -> Change:
        """Return the same transaction for another actor, whose chain is locked too."""
        self.unit.reach(_reach(actor))
        self.unit.audit.lock(actor.organization)
        return replace(self, actor=actor)

    def bump(self) -> None:
        """Say that what should run has changed, so that the reconciler looks."""
        self.unit.counters.next("wanted")
        self.wakes = True


@dataclass(slots=True)
class _Joint:
    """A transaction that several changes share."""

    change: Change
    # Whom a refusal met and while doing what; recorded when all is rolled back.
    refused: tuple[Actor, str, str]

    @contextmanager
    def part(self, actor: Actor, action: str) -> Iterator[Change]:
        """Yield the change as one part, which can fail without the others."""
        with self.change.unit.savepoint() as unit:
            unit.reach(_reach(actor))
            unit.audit.lock(actor.organization)
            part = replace(self.change, actor=actor, action=action, wakes=False)
            yield part
        self.change.wakes |= part.wakes

    @contextmanager
    def refusals(self, actor: Actor, action: str, subject: str) -> Iterator[None]:
        """Remember what was refused."""
        try:
            yield
        except Forbidden:
            self.refused = (actor, action, subject)
            raise


class Changes:
    """Opens reads and changes for the services."""

    def __init__(
        self, store: Store, clock: Clock, entropy: Entropy, poke: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._poke = poke
        # The transaction that this thread's changes and reads join, if one is open.
        self._joint: ContextVar[_Joint | None] = ContextVar("joint", default=None)
        # The moment that this thread's reads see, if one was chosen for all of them.
        self._moment: ContextVar[UnitOfWork | None] = ContextVar("moment", default=None)

    @property
    def now_ms(self) -> int:
        """The clock's time."""
        return self._clock.now_ms()

    def random(self, bits: int) -> int:
        """Return random bits, for credentials."""
        return self._entropy.bits(bits)

    @contextmanager
    def read(self, actor: Actor) -> Iterator[View]:
        """Open a read transaction; nothing in it can change."""
        joint = self._joint.get()
        if joint is not None:
            with joint.refusals(actor, "read", ""), joint.change.unit.translated():
                joint.change.unit.reach(_reach(actor))
                yield View(actor, joint.change.unit, self.now_ms)
            return
        moment = self._moment.get()
        try:
            with nullcontext(moment) if moment is not None else self._store.read(_reach(actor)) as unit:
                unit.reach(_reach(actor))
                # A moment began outside: what fails in this read is this read's answer.
                with unit.translated():
                    yield View(actor, unit, self.now_ms)
        except Forbidden as refusal:
            self._record_denial(actor, "read", "", refusal)
            raise

    @contextmanager
    def change(self, actor: Actor, action: str, subject: str = "") -> Iterator[Change]:
        """Open the one writing transaction of the actor's organization; commit when the block ends."""
        joint = self._joint.get()
        if joint is not None:
            with joint.refusals(actor, action, subject), joint.part(actor, action) as change:
                yield change
            return
        try:
            with self._store.begin(_reach(actor)) as unit:
                unit.audit.lock(actor.organization)
                change = Change(actor, unit, self.now_ms, self._entropy, action)
                yield change
        except Forbidden as refusal:
            self._record_denial(actor, action, subject, refusal)
            raise
        if change.wakes:
            self._poke()

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Let all reads of this block see one moment, in one transaction instead of one for each."""
        with self._store.read(NOBODY) as unit:
            mark = self._moment.set(unit)
            try:
                yield
            finally:
                self._moment.reset(mark)

    @contextmanager
    def together(self, actor: Actor, action: str) -> Iterator[Change]:
        """Open one transaction that every change and read of this block joins: all of it, or nothing.

        For short work only, as it keeps the organization's other changes waiting.
        """
        joint: _Joint | None = None
        try:
            with self._store.begin(_reach(actor)) as unit:
                unit.audit.lock(actor.organization)
                joint = _Joint(Change(actor, unit, self.now_ms, self._entropy, action), (actor, action, ""))
                mark = self._joint.set(joint)
                try:
                    yield joint.change
                finally:
                    self._joint.reset(mark)
        except Forbidden as refusal:
            if joint is not None:
                self._record_denial(*joint.refused, refusal)
            raise
        if joint.change.wakes:
            self._poke()

    def wanted(self) -> int:
        """Return the number of the newest change to what should run."""
        with self._store.read() as unit:
            return unit.counters.value("wanted")

    def live(self) -> tuple[int, int]:
        """Return numbers that differ whenever what is live, or who may call it, may differ."""
        with self._store.read() as unit:
            return unit.counters.value("wanted"), unit.counters.value("live")

    def count(self, name: str) -> int:
        """Return the next number of a counter, committed at once."""
        with self._store.begin() as unit:
            return unit.counters.next(name)

    def note_use(self, credential: str) -> None:
        """Write down that a session or token proved something now; no audit entry tells of it."""
        with self._store.begin() as unit:
            unit.credentials.used(credential, self.now_ms)

    @contextmanager
    def aside(self) -> Iterator[UnitOfWork]:
        """Open a writing transaction for Ingot's own bookkeeping, of which no audit entry tells."""
        with self._store.begin() as unit:
            yield unit

    def sequence_events(self, limit: int, consumers: Mapping[str, frozenset[str]]) -> int:
        """Give up to `limit` committed events their places in the public order.

        What a consumer (name -> types) wants is a delivery from the same moment on.
        """
        # Mostly there is none, and a look takes nobody's turn to write.
        with self._store.read() as unit:
            if not unit.outbox.waiting(1):
                return 0
        with self._store.begin() as unit:
            waiting = unit.outbox.waiting(limit)
            last = unit.counters.next("events", len(waiting)) if waiting else 0
            for place, event in enumerate(waiting, last - len(waiting) + 1):
                unit.outbox.place(event, place)
                for consumer in wanted_by(consumers, event):
                    unit.deliveries.add(Delivery(event.id, consumer, event.organization, self.now_ms))
        return len(waiting)

    def _record_denial(self, actor: Actor, action: str, subject: str, refusal: Forbidden) -> None:
        with self._store.begin(_reach(actor)) as unit:
            unit.audit.lock(actor.organization)
            change = Change(actor, unit, self.now_ms, self._entropy, action)
            change.record(subject, {"code": refusal.code, "message": refusal.message}, outcome="denied")


def _reach(actor: Actor) -> str:
    """Return whose rows the statements see. Ingot itself, and who is not known yet, have no tenant."""
    if actor.organization in {"", PLATFORM} and actor.method in {Method.SYSTEM, Method.NOBODY}:
        return EVERYONE
    return actor.organization
