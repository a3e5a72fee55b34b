"""The data folder and the run folder: made once, checked at every start.

Says who owns what. When Ingot runs as root, services drop to user ids of their
own and share one group, so that the gateway can reach the sockets but not the
database. No process is started from here.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from control_plane.errors import Invalid, Unavailable
from control_plane.settings import Settings

__all__ = ["Identities", "choose_identities", "make_folders", "refuse_unreachable", "remove_sockets"]


@dataclass(frozen=True, slots=True)
class Identities:
    """User ids of the services. None means: whoever started Ingot."""

    gateway: int | None = None
    control: int | None = None
    group: int | None = None
    # Why services share the starter's user id, when they could have had their own.
    shared_because: str = ""


def choose_identities(settings: Settings, needed: tuple[Path, ...]) -> Identities:
    """Return own user ids as root, unless a path in `needed` is closed to other users."""
    if os.geteuid() != 0:
        return Identities()
    for path in needed:
        for step in (path.resolve(), *path.resolve().parents):
            if not step.stat().st_mode & stat.S_IXOTH:
                return Identities(
                    shared_because=f"{step} is closed to other users, so the services run as root; "
                    "move the checkout out of it to give them user ids of their own."
                )
    base = settings.host.uid_base
    return Identities(gateway=base, control=base + 1, group=base)


def refuse_unreachable(identities: Identities, isolation: str) -> None:
    """Raise Unavailable when functions, under user ids of their own, could not reach the interpreter.

    Level namespaces shows it to them wherever it lies; without mounts the folders' own rights decide.
    """
    if identities.shared_because and isolation != "namespaces":
        raise Unavailable(
            f"Functions cannot run at isolation level {isolation} here: {identities.shared_because}",
            hint="Or start Ingot as an ordinary user, or use level namespaces.",
        )


def make_folders(settings: Settings, identities: Identities, isolation: str) -> None:
    """Make or repair every folder; refuse a run folder that somebody else owns."""
    root = identities.group is not None
    _own_folder(settings.data, 0o711 if root else 0o700, None, None)
    control, group = identities.control, identities.group
    # Without mounts of their own, functions reach their layers and temporary folder by these paths,
    # each under a user id of its own. They may pass, not look around.
    passed = set() if isolation == "namespaces" else {"layers", "host"}
    for name in ("db", "blobs", "files", "layers", "cache", "audit", "host", "gateway"):
        shared = 0o751 if name in passed else 0o750
        _own_folder(settings.data / name, shared if root else 0o700, control, group)
    # The set-group-id bit hands the group on, so that the api may read what the host writes as root.
    _own_folder(settings.data / "host" / "logs", 0o2750 if root else 0o700, None, group)
    _own_file(settings.data / "host" / "records.log", control)
    _own_file(settings.data / "gateway" / "access.log", control)
    for name in ("logs", "keys", "bytecode"):
        _own_folder(settings.data / name, 0o700, None, None)
    _own_folder(settings.data / "config", 0o755 if root else 0o700, None, None)
    if settings.run.parent.name.startswith("ingot-"):
        # Every Ingot of this user shares it: as root others may need to pass, whatever this one needs.
        _own_folder(settings.run.parent, 0o711 if os.geteuid() == 0 else 0o700, None, None)
    # The sticky bit keeps one service from replacing another's socket.
    _own_folder(settings.run, 0o1770 if root else 0o700, None, group)
    _own_folder(settings.run / "fn", 0o750 if root else 0o700, None, group)


def remove_sockets(run: Path) -> None:
    """Remove what ended processes left: a killed one cannot, and whoever connects shall be told so."""
    for folder in (run, run / "fn"):
        for path in folder.iterdir():
            if path.is_socket():
                path.unlink(missing_ok=True)


def _own_folder(path: Path, mode: int, owner: int | None, group: int | None) -> None:
    path.mkdir(mode=0o700, exist_ok=True, parents=path.name == ".ingot")
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise Invalid(f"{path} is not a folder.", hint="Move it away and start again.")
    if found.st_uid not in {os.geteuid(), owner}:
        raise Invalid(
            f"{path} belongs to user id {found.st_uid}, not to you.",
            hint="Start Ingot as that user, or name another data folder with --data.",
        )
    if owner is not None or group is not None:
        os.chown(path, -1 if owner is None else owner, -1 if group is None else group)
    path.chmod(mode)


def _own_file(path: Path, owner: int | None) -> None:
    """Make a log that one process appends to and the meter reads, and frees behind what it has counted."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        if owner is not None:
            os.fchown(descriptor, owner, -1)
    finally:
        os.close(descriptor)
