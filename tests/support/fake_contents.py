"""Contents in memory, with the time at which somebody last relied on each."""

from __future__ import annotations

from collections.abc import Iterator

from control_plane.domain.retention import Content

__all__ = ["FakeContents"]


class FakeContents:
    """As the folders do, but the test says when things were touched."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], tuple[Content, int]] = {}
        self.images: dict[str, frozenset[str]] = {}

    def put(self, content: Content, now_ms: int) -> None:
        self.held[content.key] = (content, now_ms)

    def untouched_since(self, before_ms: int) -> Iterator[Content]:
        yield from [content for content, touched in self.held.values() if touched < before_ms]

    def parts(self, image: str) -> frozenset[str]:
        return self.images.get(image, frozenset())

    def remove(self, content: Content, before_ms: int) -> bool:
        known = self.held.get(content.key)
        if known is None or known[1] >= before_ms:
            return False
        del self.held[content.key]
        return True
