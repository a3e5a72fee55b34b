"""Removes images of versions that nothing needs, organization by organization, a bounded number at a time.

What is needed is decided in `domain.image_retention`, when it goes in
`domain.retention`: only after it was seen unneeded a whole grace ago.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress

from control_plane.domain.identity import Actor
from control_plane.domain.image_retention import Held, unneeded_images
from control_plane.domain.releases import ROLLBACK_MS
from control_plane.domain.retention import Content, Judgement, Removal, judge
from control_plane.errors import Invalid
from control_plane.ports import Images
from control_plane.services.changes import Changes

__all__ = ["ImageRetention"]

_PAGE = 100


class ImageRetention:
    """Use cases about images that pile up; Ingot's own, nobody asks for them by the API."""

    def __init__(self, changes: Changes, images: Images | None, *, grace_ms: int, batch: int) -> None:
        self._changes = changes
        # None where images are kept nowhere but in the data folder.
        self._images = images
        self._grace_ms = grace_ms
        # Images that one call removes.
        self._batch = batch

    def preview(self) -> tuple[Removal, ...]:
        """Return how many images are over now, whatever one clean-up would take of them."""
        if self._images is None:
            return ()
        doomed = [self._judge(self._images, one).doomed for one in self._organizations()]
        return (Removal("images", sum(map(len, doomed))),)

    def clean(self) -> tuple[Removal, ...]:
        """Remove one batch of the images that nothing has needed for the whole grace, and notice more.

        Raises Unavailable where the registry does not answer or does not delete.
        """
        if self._images is None:
            return ()
        removed = 0
        for organization in self._organizations():
            judgement = self._judge(self._images, organization)
            doomed = judgement.doomed[: self._batch - removed]
            self._remember(judgement)
            if doomed:
                self._images.remove(organization, [one.digest for one in doomed])
                with self._changes.change(Actor.system(""), "retention.clean") as change:
                    change.unit.retention.forget([one.key for one in doomed])
            removed += len(doomed)
        return (Removal("images", removed),)

    def _remember(self, judgement: Judgement) -> None:
        if judgement.forgotten or judgement.noticed:
            with self._changes.change(Actor.system(""), "retention.clean") as change:
                change.unit.retention.forget(judgement.forgotten)
                change.unit.retention.notice(judgement.noticed, change.now_ms)

    def _judge(self, images: Images, organization: str) -> Judgement:
        # What lies there first, what is needed second: what is published in between is in a release by then.
        held = [Held(one.digest, one.version, one.base) for one in images.stored(organization)]
        now_ms = self._changes.now_ms
        kind = f"image of {organization}"
        with self._changes.read(Actor.system("")) as view:
            in_use = view.unit.releases.in_use(organization, now_ms - ROLLBACK_MS)
            releasable = view.unit.versions.releasable(organization)
            since = view.unit.retention.unneeded()
        bases = _bases(images, set(releasable.values()))
        unneeded = [Content(kind, one, 0) for one in unneeded_images(held, in_use, releasable, bases)]
        own = {key: at_ms for key, at_ms in since.items() if key[0] == kind}
        return judge(unneeded, own, now_ms, self._grace_ms)

    def _organizations(self) -> Iterator[str]:
        after = ""
        while True:
            with self._changes.read(Actor.system("")) as view:
                page = view.unit.identity.organizations(after, _PAGE)
            yield from (one.id for one in page)
            if len(page) < _PAGE:
                return
            after = page[-1].id


def _bases(images: Images, runtimes: Collection[str]) -> dict[str, str]:
    found = {}
    for runtime in runtimes:
        with suppress(Invalid):
            found[runtime] = images.base(runtime)
    return found
