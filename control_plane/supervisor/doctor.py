"""`ingot doctor`: what this machine offers, one plain sentence for each fact and one for what to do."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from control_plane.adapters.gateway.binary import find_haproxy
from control_plane.errors import IngotError
from control_plane.settings import Settings
from control_plane.supervisor.isolation import choose_isolation, probe_isolation
from control_plane.supervisor.lock import is_held

__all__ = ["Fact", "examine"]

# A gateway of 4,000 connections needs two descriptors for each, and some for itself.
_DESCRIPTORS = 10_000
# Each counted batch waits for one; a slow disk shows in the usage's delay and in `freeze`.
_SLOW_FSYNC_MS = 20.0
# A clock before this was never set; keys and certificates would seem valid or expired at random.
_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
_SOON_DAYS = 14


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was looked at."""

    name: str
    ok: bool
    sentence: str
    # What to do about it; empty when there is nothing to do.
    hint: str = ""


def examine(settings: Settings) -> Iterator[Fact]:
    """Yield every fact; nothing is changed but for one small file that measures the disk."""
    yield from _programs()
    yield from _isolation(settings)
    yield from _ports(settings)
    yield _data(settings.data)
    yield from _disk(settings)
    yield _descriptors()
    yield _clock()
    yield _certificate(settings)


def _programs() -> Iterator[Fact]:
    yield Fact("python", True, f"Python {sys.version.split()[0]} at {sys.executable}.")
    found = []
    for package in ("flask", "gunicorn", "sqlalchemy", "cryptography", "uv"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            yield Fact(package, False, f"The package {package} is not installed.", "Run `make install`.")
    yield Fact("packages", True, f"Packages: {', '.join(found)}.")
    try:
        yield Fact("gateway", True, f"The gateway is {find_haproxy()}.")
    except IngotError as error:
        yield _refused("gateway", error)


def _isolation(settings: Settings) -> Iterator[Fact]:
    for fact in probe_isolation()["facts"]:
        yield Fact(f"isolation.{fact['name']}", fact["ok"], fact["sentence"])
    try:
        level = choose_isolation(settings.host.isolation)
    except IngotError as error:
        yield _refused("isolation", error)
    else:
        yield Fact("isolation", True, f"Functions would run at isolation level {level}.")


def _ports(settings: Settings) -> Iterator[Fact]:
    listen = settings.listen
    for name in ("console_port", "functions_port"):
        port = getattr(listen, name)
        with socket.socket(socket.AF_INET6 if ":" in listen.address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken = _is_taken(probe, listen.address, port)
        if not taken:
            yield Fact(f"listen.{name}", True, f"Port {port} is free.")
        else:
            hint = (
                f"If that is another program, choose another port: INGOT_LISTEN_{name.upper()}={port + 1000}"
            )
            yield Fact(f"listen.{name}", False, f"Port {port} is in use, by this Ingot if it runs.", hint)


def _is_taken(probe: socket.socket, address: str, port: int) -> bool:
    try:
        probe.bind((address, port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _data(data: Path) -> Fact:
    user = os.geteuid()
    if not data.exists():
        return Fact("data", True, f"Data will be in {data}, which the first start makes, user id {user}.")
    status = data.stat()
    if status.st_uid != user:
        hint = "Start Ingot as that user, or name another folder with --data."
        return Fact("data", False, f"{data} belongs to user id {status.st_uid}, and this is {user}.", hint)
    keys = data / "keys"
    open_keys = (
        [path.name for path in keys.glob("*.key") if path.stat().st_mode & 0o077] if keys.is_dir() else []
    )
    if open_keys or status.st_mode & 0o066:
        what = f"keys/{open_keys[0]}" if open_keys else str(data)
        hint = f"Run `chmod go-rw {data}` and `chmod 600 {keys}/*.key`; then think about who has read them."
        return Fact("data", False, f"{what} can be read by others.", hint)
    running = "An Ingot runs on it." if is_held(data) else "No Ingot runs on it."
    return Fact("data", True, f"Data is in {data}, user id {user}, closed to others. {running}")


def _disk(settings: Settings) -> Iterator[Fact]:
    folder = _existing(settings.data)
    free_mb = shutil.disk_usage(folder).free >> 20
    wanted = settings.metering.min_free_mb
    sentence = f"{free_mb:,} MB are free on the disk of {folder}."
    hint = (
        f"Below {wanted} MB (metering.min_free_mb) no calls are let in: "
        "`ingot cleanup --dry-run` shows what is over."
    )
    yield Fact("disk.space", free_mb >= 4 * wanted, sentence, "" if free_mb >= 4 * wanted else hint)
    if not os.access(folder, os.W_OK):
        yield Fact("disk.fsync", False, f"{folder} cannot be written.", "Name another folder with --data.")
        return
    took_ms = _fsync_ms(folder)
    slow = took_ms > _SLOW_FSYNC_MS
    hint = "Put the data folder on a local disk: changes and counting wait for it." if slow else ""
    yield Fact("disk.fsync", not slow, f"The disk makes a small write durable in {took_ms:.1f} ms.", hint)


def _fsync_ms(folder: Path) -> float:
    """Return the median of some durable writes, in milliseconds; the file has no name."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(9):
            file.write(b"\0" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return sorted(took)[len(took) // 2]


def _descriptors() -> Fact:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    enough = most in (resource.RLIM_INFINITY,) or most >= _DESCRIPTORS
    shown = "any number of" if most == resource.RLIM_INFINITY else f"{most:,}"
    hint = "" if enough else f"Raise it (`ulimit -Hn`, LimitNOFILE= of a unit) to {_DESCRIPTORS:,}."
    return Fact("files", enough, f"A process may open {shown} files.", hint)


def _clock() -> Fact:
    now = datetime.now(UTC)
    sentence = f"The clock says {now:%Y-%m-%d %H:%M:%S} UTC."
    good = now >= _EARLIEST
    return Fact("clock", good, sentence, "" if good else "Set it: keys and certificates expire by it.")


def _certificate(settings: Settings) -> Fact:
    if not settings.tls.certificate:
        address = settings.listen.address
        if address in ("127.0.0.1", "::1", "localhost"):
            return Fact("tls", True, "Both origins speak HTTP, on loopback alone.")
        hint = "Set tls.certificate, or let a proxy that speaks HTTPS stand in front."
        return Fact("tls", False, f"Both origins speak HTTP on {address}: keys can be read on the way.", hint)
    from control_plane.adapters.gateway.certificate import read_certificate

    try:
        key = Path(settings.tls.key) if settings.tls.key else None
        found = read_certificate(Path(settings.tls.certificate), key)
    except IngotError as error:
        return _refused("tls", error)
    left = found.days_left(datetime.now(UTC))
    state = f"expires in {left} days" if left >= 0 else "has expired"
    hint = "" if left >= _SOON_DAYS else "Renew it, then `ingot tls reload`."
    return Fact("tls", left >= _SOON_DAYS, f"The certificate of {found.subject} {state}.", hint)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _refused(name: str, error: IngotError) -> Fact:
    return Fact(name, False, error.message, error.hint or "")
