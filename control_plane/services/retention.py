"""Removes what is over and what nothing needs: a bounded piece of work at each call.

Rows go in small transactions, so that no one who waits for the database notices.
When content may go is decided in `domain.retention`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from control_plane.domain.idempotency import KEPT_MS
from control_plane.domain.identity import Actor
from control_plane.domain.retention import DAY_MS, HOUR_MS, Content, Judgement, Removal, judge
from control_plane.errors import Unavailable
from control_plane.ports import Contents
from control_plane.services.changes import Change, Changes
from control_plane.store.retention_rows import referencing_tables

__all__ = ["Retention", "Rules"]

_KINDS = ("blob", "layer")
# Rows of one transaction: about a millisecond of the write lock.
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Rules:
    """How long things are kept; 0 days keep them for ever."""

    test_run_days: int
    event_days: int
    credential_days: int
    content_hours: int
    # Days after a function was taken down.
    draft_days: int
    # Rows or pieces of content that one call removes of each kind.
    batch: int

    def limits(self, now_ms: int) -> Iterator[tuple[str, int]]:
        """Yield (kind of rows, the time before which they are over)."""
        days = {
            "test_runs": self.test_run_days,
            "events": self.event_days,
            "expired_credentials": self.credential_days,
            "revoked_credentials": self.credential_days,
            "expired_keys": self.credential_days,
            "revoked_keys": self.credential_days,
        }
        for kind, kept in days.items():
            if kept:
                yield kind, now_ms - kept * DAY_MS
        yield "idempotency_keys", now_ms - KEPT_MS

    @property
    def grace_ms(self) -> int:
        """For how long content must be unneeded; never shorter than a freeze may take."""
        return max(self.content_hours, 1) * HOUR_MS


class Retention:
    """Use cases about what piles up; Ingot's own, nobody asks for them by the API."""

    def __init__(self, changes: Changes, contents: Contents, rules: Rules) -> None:
        self._changes = changes
        self._contents = contents
        self._rules = rules

    def preview(self) -> tuple[Removal, ...]:
        """Return everything that is over now, whatever one clean-up would take of it."""
        with self._changes.read(Actor.system("")) as view:
            rows = [
                view.unit.retention.over(kind, before) for kind, before in self._rules.limits(view.now_ms)
            ]
            if self._rules.draft_days:
                rows.append(view.unit.retention.over_drafts(self._drafts_before(view.now_ms)))
        doomed = self._judge(self._changes.now_ms).doomed
        return (*rows, *_summed(doomed))

    def clean_rows(self) -> tuple[Removal, ...]:
        """Remove one batch of each kind of rows."""
        now_ms = self._changes.now_ms
        removed = [Removal(kind, self._clean(kind, before)) for kind, before in self._rules.limits(now_ms)]
        if self._rules.draft_days:
            removed.append(Removal("drafts", self._empty(self._drafts_before(now_ms))))
        return tuple(removed)

    def clean_content(self) -> tuple[Removal, ...]:
        """Remove one batch of the content that nothing has needed for the whole grace, and notice more.

        What cannot be removed is not in the way of the rest; its error is raised at the end.
        """
        now_ms = self._changes.now_ms
        judgement = self._judge(now_ms)
        before = now_ms - self._rules.grace_ms
        doomed = judgement.doomed[: self._rules.batch]
        # Whoever came to need one after the look has touched it, and it stays.
        removed, failed = self._remove(doomed, before)
        gone = [content.key for content in removed]
        with self._changes.change(Actor.system(""), "retention.clean") as change:
            change.unit.retention.forget([*judgement.forgotten, *gone])
            change.unit.retention.notice(judgement.noticed, now_ms)
        if failed is not None:
            raise failed
        return _summed(removed)

    def _remove(
        self, doomed: tuple[Content, ...], before_ms: int
    ) -> tuple[list[Content], OSError | Unavailable | None]:
        removed: list[Content] = []
        failed: OSError | Unavailable | None = None
        for content in doomed:
            try:
                if self._contents.remove(content, before_ms):
                    removed.append(content)
            except (OSError, Unavailable) as error:
                failed = error
        return removed, failed

    def _clean(self, kind: str, before_ms: int) -> int:
        return self._batch(lambda change, limit: change.unit.retention.remove(kind, before_ms, limit))

    def _empty(self, before_ms: int) -> int:
        return self._batch(lambda change, limit: change.unit.retention.empty_drafts(before_ms, limit))

    def _drafts_before(self, now_ms: int) -> int:
        return now_ms - self._rules.draft_days * DAY_MS

    def _batch(self, remove: Callable[[Change, int], int]) -> int:
        """Remove in small transactions until nothing is left or the batch is full."""
        removed = 0
        while removed < self._rules.batch:
            limit = min(_AT_ONCE, self._rules.batch - removed)
            with self._changes.change(Actor.system(""), "retention.clean") as change:
                went = remove(change, limit)
            removed += went
            if went < limit:
                break
        return removed

    def _judge(self, now_ms: int) -> Judgement:
        # What lies there first, what is needed second: what comes in between is young.
        old = list(self._contents.untouched_since(now_ms - self._rules.grace_ms))
        needed = self._needed() if old else set()
        with self._changes.read(Actor.system("")) as view:
            # Images in a registry have a clean-up of their own, which remembers them in the same place.
            since_ms = {
                key: since for key, since in view.unit.retention.unneeded().items() if key[0] in _KINDS
            }
        unneeded = [content for content in old if content.digest not in needed]
        return judge(unneeded, since_ms, now_ms, self._rules.grace_ms)

    def _needed(self) -> set[str]:
        """Return every digest that a row names, and what the images among them consist of."""
        named: set[str] = set()
        images: set[str] = set()
        for table in referencing_tables():
            after = ""
            while True:
                # A page for each transaction: a long one would keep the write-ahead log growing.
                with self._changes.read(Actor.system("")) as view:
                    page = view.unit.retention.needed(table, after)
                named |= page.digests
                images |= page.images
                if not (after := page.after):
                    break
        return named.union(*(self._contents.parts(image) for image in images))


def _summed(contents: tuple[Content, ...] | list[Content]) -> tuple[Removal, ...]:
    return tuple(
        Removal(f"{kind}s", len(sizes), sum(sizes))
        for kind in _KINDS
        for sizes in ([content.size for content in contents if content.kind == kind],)
    )
