"""Writes the gateway's files so that a kill at any moment leaves the old or the new one whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from control_plane.adapters.gateway.model import SlotServer

__all__ = ["decode_servers", "encode_map", "encode_servers", "read_map", "write_atomically"]


def write_atomically(path: Path, content: str, durable: bool = True) -> None:
    """Replace a file by temp, fsync, rename; group and mode follow the folder's use."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def encode_map(entries: Mapping[str, str]) -> str:
    """Return a map file's text, one `key value` line each."""
    return "".join([f"{key} {value}\n" for key, value in entries.items()])


def read_map(path: Path) -> dict[str, str]:
    """Return a map file's entries; a missing file has none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    pairs = (line.partition(" ") for line in text.splitlines() if line)
    return {key: value for key, _, value in pairs}


def encode_servers(slots: int, servers: Mapping[int, SlotServer]) -> str:
    """Return servers.json."""
    listed = {
        str(slot): {"target": server.target, "socket": server.socket, "maxconn": server.maxconn}
        for slot, server in sorted(servers.items())
    }
    return json.dumps({"format": 1, "slots": slots, "servers": listed}, indent=0) + "\n"


def decode_servers(text: str) -> tuple[int, dict[int, SlotServer]]:
    """Read servers.json back. Raises ValueError if it is not one."""
    document = json.loads(text)
    try:
        if document["format"] != 1:
            raise ValueError(f"servers.json has format {document['format']!r}; this version reads 1")
        servers = {
            int(slot): SlotServer(str(each["target"]), str(each["socket"]), int(each["maxconn"]))
            for slot, each in document["servers"].items()
        }
        return int(document["slots"]), servers
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"servers.json is damaged: {error!r}") from error
