"""Where a function's own paths begin: below `/{organization}/{function}` or `…@{pin}`; and its host."""

from __future__ import annotations

__all__ = ["split_host", "split_mount"]


def split_mount(path: str, function_name: str) -> tuple[str, str]:
    """Return (the function's address, the path below it, which begins with `/`)."""
    parts = path.split("/", 3)
    if function_name and len(parts) >= 3 and parts[2].partition("@")[0] == function_name:
        below = "/" + parts[3] if len(parts) > 3 else "/"
        return f"/{parts[1]}/{parts[2]}", below
    return "", path or "/"


def split_host(host: str) -> tuple[str, int]:
    """Return name and port of a Host header; `[::1]` is a name as well."""
    name, colon, port = host.rpartition(":")
    if colon and port.isascii() and port.isdigit() and len(port) <= 5:
        return name, int(port)
    return host or "localhost", 80
