"""Answers a registry's challenge: basic credentials, or a bearer token fetched with them.

Credentials go to the registry itself and to a token service that is reached by
TLS, or is the registry's own host: a challenge that names anybody else is refused.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from builders.registry.access import Access
from builders.registry.failures import refused, unreachable

__all__ = ["Challenge", "Credentials", "read_challenge"]

# (URL, headers) -> (status, body)
Fetch = Callable[[str, Mapping[str, str]], tuple[int, bytes]]
_PAIR = re.compile(r'([A-Za-z_]+)="([^"\\]*)"')
# What the token specification says when a service says nothing.
_LIFETIME_S = 60.0


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry wants to see: `basic`, or `bearer` with where a token is to be had."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


@dataclass(slots=True)
class Credentials:
    """Makes the Authorization header for each scope, and remembers tokens as long as they live."""

    access: Access
    fetch: Fetch
    now: Callable[[], float] = time.monotonic
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)
    _basic: bool = False

    def header(self, scope: str) -> dict[str, str]:
        """Return what is known to be wanted for a scope; nothing before the first challenge."""
        token, until = self._tokens.get(scope, ("", 0.0))
        if token and self.now() < until:
            return {"Authorization": f"Bearer {token}"}
        return {"Authorization": self._basic_value()} if self._basic else {}

    def answer(self, header: str, scope: str) -> bool:
        """Take up a challenge; False when there is nothing more to try."""
        challenge = read_challenge(header)
        if challenge is None:
            return False
        if challenge.scheme == "basic":
            known, self._basic = self._basic, True
            return bool(self.access.username) and not known
        self._tokens[scope] = self._token(challenge, scope)
        return True

    def _token(self, challenge: Challenge, scope: str) -> tuple[str, float]:
        self._check_realm(challenge.realm)
        query = {"service": challenge.service, "scope": challenge.scope or scope}
        url = f"{challenge.realm}{'&' if '?' in challenge.realm else '?'}{urlencode(query)}"
        headers = {"Authorization": self._basic_value()} if self.access.username else {}
        status, body = self.fetch(url, headers)
        if status != 200:
            raise refused(self.access.address, status, f"a token for {challenge.scope or scope}", body)
        try:
            document = json.loads(body)
            token = document.get("token") or document["access_token"]
            lifetime = float(document.get("expires_in") or _LIFETIME_S)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise unreachable(self.access.address, "its token service sent no token") from error
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise unreachable(self.access.address, "its token service sent no usable token")
        # A little early, so that no token ends on its way.
        return token, self.now() + max(0.0, min(lifetime, 3600.0) - 5.0)

    def _check_realm(self, realm: str) -> None:
        parts = urlsplit(realm)
        own = parts.netloc == self.access.address and parts.scheme == self.access.scheme
        near = self.access.plain_http and parts.hostname == urlsplit(self.access.origin).hostname
        if (
            parts.scheme not in ("http", "https")
            or parts.username
            or not (own or near or parts.scheme == "https")
        ):
            raise refused(self.access.address, 401, "to name a token service that may see the password", b"")

    def _basic_value(self) -> str:
        pair = f"{self.access.username}:{self.access.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


def read_challenge(header: str) -> Challenge | None:
    """Return what a WWW-Authenticate header asks for; None for what nobody here can answer."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() == "basic":
        return Challenge("basic")
    if scheme.lower() != "bearer":
        return None
    values = {name.lower(): value for name, value in _PAIR.findall(rest)}
    if not values.get("realm"):
        return None
    return Challenge("bearer", values["realm"], values.get("service", ""), values.get("scope", ""))
