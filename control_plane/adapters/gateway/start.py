"""How to start the gateway: its files, its command and what it inherits."""

from __future__ import annotations

from control_plane.adapters.gateway.binary import find_haproxy
from control_plane.adapters.gateway.config import render_config, render_slots
from control_plane.adapters.gateway.files import decode_servers, encode_servers, write_atomically
from control_plane.adapters.gateway.model import MAP_NAMES, GatewaySettings

__all__ = ["INHERITED", "command", "write_first_files"]

# Environment variables, each with the number of a descriptor that HAProxy inherits:
# two listening TCP sockets and one O_APPEND description of access.log.
INHERITED = ("INGOT_FD_CONSOLE", "INGOT_FD_FUNCTIONS", "INGOT_FD_ACCESS_LOG")


def write_first_files(settings: GatewaySettings) -> None:
    """Write what a start needs: this version's config, and whatever is missing.

    The lease starts lapsed: until the meter renews it, calls are refused.
    """
    settings.data_folder.mkdir(parents=True, exist_ok=True)
    if not settings.servers_file.exists():
        write_atomically(settings.servers_file, encode_servers(settings.first_slots, {}))
    slots, servers = decode_servers(settings.servers_file.read_text(encoding="utf-8"))
    write_atomically(settings.config_file, render_config(settings))
    write_atomically(settings.slots_file, render_slots(settings, slots, servers))
    for name in MAP_NAMES:
        if not settings.map_file(name).exists():
            write_atomically(settings.map_file(name), "until 0\n" if name == "lease" else "")


def command(settings: GatewaySettings) -> list[str]:
    """Return HAProxy's command line: a master in the foreground that keeps workers.

    The process needs the INHERITED variables and descriptors. SIGUSR2 reloads,
    SIGUSR1 drains and ends, SIGTERM ends at once. A dead worker ends the master
    too, so one supervised process is enough. Raises Unavailable without HAProxy.
    """
    mode = "mode,600" if settings.control_gid is None else f"mode,660,gid,{settings.control_gid}"
    return [
        find_haproxy(),
        "-W",
        "-S",
        f"{settings.master_socket},{mode}",
        "-f",
        str(settings.config_file),
        "-f",
        str(settings.slots_file),
    ]
