"""The user's own configuration: one profile (address, token) for each server, in a 0600 file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

from control_plane.cli.failures import ExitCode, Failure

__all__ = ["DEFAULT_URL", "Profile", "config_home", "forget", "load", "remember"]

DEFAULT_URL: Final = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Profile:
    """Where to send requests, and as whom."""

    url: str
    token: str = ""
    email: str = ""
    # The id of the token, so that logging out can revoke it.
    token_id: str = ""


def config_home() -> Path:
    """Return the folder of the configuration: INGOT_CONFIG_HOME, else the XDG one."""
    own = os.environ.get("INGOT_CONFIG_HOME")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "ingot"


def load(url: str | None) -> Profile:
    """Return the profile for `url`, else the one that was last logged in to.

    INGOT_TOKEN beats the stored token: a robot needs no file.
    """
    stored = _read()
    wanted = (url or stored.get("current") or DEFAULT_URL).rstrip("/")
    entry = stored.get("profiles", {}).get(wanted, {})
    return Profile(
        url=wanted,
        token=os.environ.get("INGOT_TOKEN") or entry.get("token", ""),
        email=entry.get("email", ""),
        token_id=entry.get("token_id", ""),
    )


def remember(profile: Profile) -> Path:
    """Store the profile and make it the current one."""
    stored = _read()
    profiles = stored.setdefault("profiles", {})
    profiles[profile.url] = {
        "token": profile.token,
        "email": profile.email,
        "token_id": profile.token_id,
    }
    stored["current"] = profile.url
    return _write(stored)


def forget(url: str) -> None:
    """Remove the profile of `url`."""
    stored = _read()
    stored.get("profiles", {}).pop(url, None)
    if stored.get("current") == url:
        stored.pop("current")
    _write(stored)


def _path() -> Path:
    return config_home() / "profiles.json"


def _read() -> dict[str, Any]:
    path = _path()
    try:
        stored = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {"format": 1}
    except (OSError, ValueError) as error:
        raise Failure(
            f"The configuration {path} cannot be read: {error}.",
            hint="Repair the file, or delete it and run `ingot login` again.",
        ) from error
    if not isinstance(stored, dict) or stored.get("format") != 1:
        raise Failure(
            f"The configuration {path} is of a format that this version does not know.",
            hint="Delete it and run `ingot login` again.",
            exit_code=ExitCode.FAILED,
        )
    return stored


def _write(stored: dict[str, Any]) -> Path:
    """Replace the file in one step; it is 0600 before it holds a token."""
    path = _path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent, prefix=".profiles-", delete=False) as file:
        json.dump(stored, file, indent=2, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
    return path
