"""The package index that the operator chose, as an environment for uv.

uv reads no pip configuration, so an operator whose machine reaches an index
through pip's settings would be left without one: where uv's own variables say
nothing, pip's variables and files are translated. Everything else of the
caller's environment is dropped. No network here.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["index_environment", "without_credentials"]

# Passed on as they are.
_KEPT = (
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX",
    "UV_INSECURE_HOST", "UV_INDEX_STRATEGY", "UV_OFFLINE", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS",
    "UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_CONCURRENT_DOWNLOADS",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT", "NETRC",
)  # fmt: skip
# A named index keeps its credentials in UV_INDEX_<NAME>_USERNAME and _PASSWORD.
_NAMED_INDEX = re.compile(r"UV_INDEX_[A-Z0-9_]+_(USERNAME|PASSWORD)")
# pip's option -> (uv's variable, uv's other spellings that win over it)
_TRANSLATED = {
    "index-url": ("UV_DEFAULT_INDEX", ("UV_INDEX_URL",)),
    "extra-index-url": ("UV_INDEX", ("UV_EXTRA_INDEX_URL",)),
    "find-links": ("UV_FIND_LINKS", ()),
    "trusted-host": ("UV_INSECURE_HOST", ()),
    "no-index": ("UV_NO_INDEX", ()),
    "proxy": ("ALL_PROXY", ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "all_proxy")),
    "cert": ("SSL_CERT_FILE", ("SSL_CERT_DIR",)),
}
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")


def index_environment(caller: Mapping[str, str], home: Path | None = None) -> dict[str, str]:
    """Return the variables that lead uv to the operator's index, and no others."""
    found = {name: value for name, value in caller.items() if name in _KEPT or _NAMED_INDEX.fullmatch(name)}
    options = _pip_files(caller, home) | _pip_variables(caller)
    for option, value in options.items():
        target, winners = _TRANSLATED[option]
        if value and not any(name in found for name in (target, *winners)):
            # uv separates indexes and hosts by spaces, find-links by commas.
            separator = "," if target == "UV_FIND_LINKS" else " "
            found[target] = separator.join(value.split())
    return found


def _pip_variables(caller: Mapping[str, str]) -> dict[str, str]:
    names = {option: f"PIP_{option.upper().replace('-', '_')}" for option in _TRANSLATED}
    return {option: caller[name] for option, name in names.items() if caller.get(name)}


def _pip_files(caller: Mapping[str, str], home: Path | None) -> dict[str, str]:
    """Read pip's files, the later ones winning, the [install] section over [global]."""
    own = home or Path(caller.get("HOME", "/nonexistent"))
    files = [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        own / ".pip/pip.conf",
        Path(caller.get("XDG_CONFIG_HOME") or own / ".config") / "pip/pip.conf",
        Path(sys.prefix) / "pip.conf",
    ]
    if chosen := caller.get("PIP_CONFIG_FILE"):
        # pip's own way to say "no files at all".
        files = [] if chosen == os.devnull else [*files, Path(chosen)]
    found: dict[str, str] = {}
    for section in ("global", "install"):
        for file in files:
            parser = configparser.RawConfigParser()
            try:
                parser.read(file, encoding="utf-8")
            except (configparser.Error, OSError, UnicodeDecodeError):
                # pip itself would complain; a broken file of the operator's is no draft's fault.
                continue
            if parser.has_section(section):
                options = {name.replace("_", "-"): value for name, value in parser.items(section)}
                found |= {name: value for name, value in options.items() if name in _TRANSLATED}
    return found


def without_credentials(text: str) -> str:
    """Return a tool's line without user names and passwords in addresses."""
    return _CREDENTIALS.sub("", text)
