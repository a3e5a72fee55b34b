"""What every part of the host works with: loop, store, logs, records, user ids, groups.

One object instead of eight parameters. It holds no targets and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.adapters.embedded.host.bytecode import Bytecode
from control_plane.adapters.embedded.host.config import HostConfig
from control_plane.adapters.embedded.host.log_pipes import LogPipes
from control_plane.adapters.embedded.host.loop import Loop
from control_plane.adapters.embedded.host.memory_groups import MemoryGroups
from control_plane.adapters.embedded.host.reaper import Reaper
from control_plane.adapters.embedded.host.records import Records
from control_plane.adapters.embedded.host.store_client import DescriptorStore
from control_plane.adapters.embedded.host.tenancy import Tenancy
from control_plane.adapters.embedded.host.tmp_folders import TmpFolders
from control_plane.adapters.embedded.host.unix_diag import UnixDiag

__all__ = ["Machine", "UserIds"]


class UserIds:
    """Hands out user ids of functions, one for each process that runs user code."""

    def __init__(self, base: int | None, count: int) -> None:
        self._free = [] if base is None else list(range(base + count - 1, base - 1, -1))
        self.enabled = base is not None

    def take(self) -> int | None:
        """Return a user id of nobody else, None where there are none to give. Raises LookupError."""
        if not self.enabled:
            return None
        if not self._free:
            raise LookupError("every user id for functions is in use")
        return self._free.pop()

    def claim(self, uid: int | None) -> None:
        """Take a certain id: its process outlived the former host."""
        if uid in self._free:
            self._free.remove(uid)

    def give_back(self, uid: int | None) -> None:
        """Make the id available, last: a late process of its former owner may still be ending."""
        if self.enabled and uid is not None:
            self._free.insert(0, uid)


@dataclass(slots=True)
class Machine:
    """Everything below the targets."""

    config: HostConfig
    loop: Loop
    store: DescriptorStore
    pipes: LogPipes
    records: Records
    reaper: Reaper
    diag: UnixDiag
    groups: MemoryGroups
    uids: UserIds
    tmp: TmpFolders
    bytecode: Bytecode
    tenancy: Tenancy
    # Another process has the orphans' exits (the supervisor is the subreaper).
    supervised: bool = False
