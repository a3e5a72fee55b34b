"""What is needed to serve on after a restart what waited for a target that is no longer wanted.

Listeners of ending targets stay in the supervisor's store under a name of
their own; their descriptions lie beside the wanted state, secrets still sealed.
Nothing here serves or decides.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from control_plane.adapters.embedded.host.store_client import DescriptorStore
from control_plane.adapters.embedded.host.wanted import parse_state, parse_target
from control_plane.domain.desired import HostTarget
from control_plane.errors import Invalid

__all__ = ["Retirement"]

_STORED = "retiring:"
_log = logging.getLogger(__name__)


class Retirement:
    """Remembers ending targets until their backlog is empty, and the state in force for the next host."""

    def __init__(self, folder: Path, store: DescriptorStore) -> None:
        self._folder, self._store = folder / "retiring", store
        self._in_force = folder / "in_force.json"

    def take_in_force(self, desired: Path) -> None:
        """Keep the wanted state that was just applied: its successor does not name what it dropped.

        A second name for the file costs nothing; publishing replaces the first name only.
        """
        temporary = self._in_force.with_name(".in_force")
        try:
            temporary.unlink(missing_ok=True)
            try:
                os.link(desired, temporary)
            except PermissionError:
                # The kernel lets nobody link what another user owns, unless he is root.
                temporary.write_bytes(desired.read_bytes())
            temporary.rename(self._in_force)
            # Two names of one file are renamed into none.
            temporary.unlink(missing_ok=True)
        except FileNotFoundError:
            return
        except OSError as error:
            _log.warning("the state in force is not kept for a restart: %s", error)

    def formerly_wanted(self) -> dict[str, HostTarget]:
        """Return the targets of the state that the former host had in force, by id."""
        try:
            return {target.id: target for target in parse_state(self._in_force.read_bytes()).targets}
        except (OSError, Invalid):
            return {}

    def keep(self, wanted: HostTarget, listener: socket.socket) -> None:
        """Keep the listener and what serves it; call this before its former name is dropped."""
        key = _key(wanted.id, listener)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            temporary = self._folder / f".{key}"
            temporary.write_text(json.dumps(asdict(wanted)))
            temporary.rename(self._folder / key)
        except OSError as error:
            # It is served now all the same.
            _log.warning("what waits for %s would not survive a restart: %s", wanted.id, error)
            return
        self._store.put(_STORED + key, listener.fileno(), {})

    def forget(self, target: str, listener: socket.socket) -> None:
        """Nothing waits there any more."""
        key = _key(target, listener)
        self._store.drop(_STORED + key)
        (self._folder / key).unlink(missing_ok=True)

    def restore(self) -> Iterator[tuple[HostTarget, socket.socket]]:
        """Return what the former host had not finished; drop what cannot be understood."""
        kept = {name.removeprefix(_STORED) for name, _ in self._store.names() if name.startswith(_STORED)}
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.name not in kept:
                path.unlink(missing_ok=True)
        for key in sorted(kept):
            descriptor = self._store.get(_STORED + key)
            if descriptor is None:
                continue
            listener = socket.socket(fileno=descriptor)
            try:
                wanted = parse_target(json.loads((self._folder / key).read_bytes()), "/target")
            except (OSError, ValueError, Invalid):
                self._store.drop(_STORED + key)
                listener.close()
                continue
            yield wanted, listener


def _key(target: str, listener: socket.socket) -> str:
    # A target may be wanted again and retire again while its first socket still drains.
    return f"{target}-{os.fstat(listener.fileno()).st_ino}"
