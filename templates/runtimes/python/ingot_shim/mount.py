"""Where a function's own paths begin: below `/{organization}/{function}` or `…@{pin}`."""

from __future__ import annotations

__all__ = ["split_mount"]


def split_mount(path: str, function_name: str) -> tuple[str, str]:
    """Return (the function's address, the path below it, which begins with `/`)."""
    parts = path.split("/", 3)
    if function_name and len(parts) >= 3 and parts[2].partition("@")[0] == function_name:
        below = "/" + parts[3] if len(parts) > 3 else "/"
        return f"/{parts[1]}/{parts[2]}", below
    return "", path or "/"
