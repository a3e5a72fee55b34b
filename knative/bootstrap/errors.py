"""What can go wrong with the cluster, in sentences for the person at the terminal."""

from __future__ import annotations

__all__ = ["ClusterError"]


class ClusterError(Exception):
    """Something failed; `hint` says what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
