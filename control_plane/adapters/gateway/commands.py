"""Changes of maps as lines for the runtime socket.

Which maps there are and in which order they change stands in the callers' plans.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Command", "add_entries", "delete_entries", "set_entries"]

# One payload must stay below HAProxy's buffer of 32 kB.
LARGEST_PAYLOAD = 20_000


@dataclass(frozen=True, slots=True)
class Command:
    """One line (or line and payload) for the runtime socket and the answers that mean success."""

    text: str
    answers: frozenset[str] = frozenset({""})
    # A right that is taken away or given: draining workers hear it too.
    everywhere: bool = False


def add_entries(file: Path, entries: Mapping[str, str], everywhere: bool = False) -> Iterable[Command]:
    """Add entries in pieces; adding an existing key would make a duplicate."""
    head = f"add map {file} <<\n"
    piece: list[str] = []
    size = 0
    for key, value in entries.items():
        line = f"{key} {value}\n"
        if size + len(line) > LARGEST_PAYLOAD:
            yield Command(head + "".join(piece), everywhere=everywhere)
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield Command(head + "".join(piece), everywhere=everywhere)


def set_entries(file: Path, entries: Mapping[str, str], everywhere: bool = False) -> Iterable[Command]:
    """Give existing keys new values."""
    for key, value in entries.items():
        yield Command(f"set map {file} {key} {value}", everywhere=everywhere)


def delete_entries(file: Path, keys: Iterable[str], everywhere: bool = False) -> Iterable[Command]:
    """Delete keys; one that a restart has already forgotten is fine."""
    for key in keys:
        yield Command(
            f"del map {file} {key}", answers=frozenset({"", "Key not found."}), everywhere=everywhere
        )
