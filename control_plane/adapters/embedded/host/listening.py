"""The functions' listening sockets: made once, kept in the supervisor's store.

A socket is bound under a temporary name and renamed into place, so that the
gateway finds either the old or the new one at its path, never none.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from control_plane.adapters.embedded.host.store_client import DescriptorStore

__all__ = ["PATH_BYTES", "Listeners", "bind_listener"]

# HAProxy binds and connects up to about 97 bytes, the kernel up to 107.
PATH_BYTES = 90


def bind_listener(path: Path, backlog: int, owner: int | None) -> socket.socket:
    """Return a listening socket at `path` that only `owner` (None: this user) may connect to."""
    temporary = path.with_name(f".{os.urandom(4).hex()}")
    for name in (path, temporary):
        if len(os.fsencode(name)) > PATH_BYTES:
            raise OSError(f"{name} is longer than {PATH_BYTES} bytes; choose a shorter run folder")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        # No file ever has wider rights than this, not even for a moment.
        previous = os.umask(0o177)
        try:
            listener.bind(str(temporary))
        finally:
            os.umask(previous)
        if owner is not None:
            os.chown(temporary, owner, -1)
        listener.listen(backlog)
        temporary.rename(path)
    except OSError:
        listener.close()
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return listener


class Listeners:
    """Makes, restores and ends the targets' sockets."""

    def __init__(self, folder: Path, store: DescriptorStore, backlog: int, owner: int | None) -> None:
        self._folder, self._store = folder, store
        self._backlog, self._owner = backlog, owner

    def path(self, target: str) -> Path:
        """Return where the gateway connects."""
        return self._folder / f"{target}.sock"

    def make(self, target: str) -> socket.socket:
        """Bind anew and keep the socket in the store."""
        listener = bind_listener(self.path(target), self._backlog, self._owner)
        self._store.put(f"listen:{target}", listener.fileno(), {"inode": self.path(target).lstat().st_ino})
        return listener

    def restore(self, target: str, inode: int) -> socket.socket | None:
        """Take the socket back from the store; None when its path leads elsewhere now."""
        try:
            if self.path(target).lstat().st_ino != inode:
                return None
        except FileNotFoundError:
            return None
        descriptor = self._store.get(f"listen:{target}")
        return None if descriptor is None else socket.socket(fileno=descriptor)

    def refresh(self, listener: socket.socket) -> None:
        """Set the backlog again: whoever holds the socket could have changed it."""
        listener.listen(self._backlog)

    def end(self, target: str, listener: socket.socket) -> None:
        """Stop listening and forget the socket. Call it when nobody waits in the backlog."""
        self._store.drop(f"listen:{target}")
        listener.close()

    def unlink(self, target: str) -> None:
        """Take the path away: no new connection arrives, those in the backlog are kept."""
        with contextlib.suppress(FileNotFoundError):
            self.path(target).unlink()

    def stale(self, wanted: set[str]) -> list[Path]:
        """Return paths in the folder that belong to no wanted target."""
        return [path for path in self._folder.iterdir() if path.name.removesuffix(".sock") not in wanted]
