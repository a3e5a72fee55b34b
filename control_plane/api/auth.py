"""Who sends a request: a personal token, or the console's session cookie with proof of its page.

Functions live on another port of the same site, where a hostile page's
requests carry the console's cookie. So the cookie counts only when the browser
says that this origin's own page sent the request, and for changes only with
the exact Origin and a header that no other origin can read. Such a page can
also plant a cookie of the same name for a deeper path; then nobody is believed
and the planted one is removed (ADR 0090).
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from hashlib import sha256
from typing import ClassVar, Final

from flask import Flask, Response, g, request

from control_plane.api.state import api_options, services
from control_plane.domain.identity import Actor
from control_plane.errors import Forbidden, Unauthenticated

__all__ = [
    "BadOrigin",
    "CsrfFailed",
    "clear_session_cookie",
    "csrf_token",
    "current_actor",
    "current_csrf_token",
    "install_planted_cookie_removal",
    "refuse_foreign_origin",
    "session_text",
    "set_session_cookie",
]

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_PAGE: Final = frozenset({"same-origin", "none"})
# Segments of an address for which planted cookies are looked for; no route has more.
_DEEPEST: Final = 12


class BadOrigin(Forbidden):
    """A browser page of another origin sent this."""

    code: ClassVar[str] = "bad_origin"


class CsrfFailed(Forbidden):
    """The session's own page did not send this."""

    code: ClassVar[str] = "csrf_failed"


def current_actor() -> Actor:
    """Return who sends this request, proved once. Raises Unauthenticated."""
    known: Actor | None = g.get("actor")
    if known is None:
        known = g.actor = services().sessions.authenticate(
            _credential(), request=g.request_id, address=request.remote_addr or ""
        )
        if "trace" in g:
            known = g.actor = replace(known, trace=g.trace.header)
    return known


def csrf_token(session_text: str) -> str:
    """Return the token that the page sends with changes: made of the session, so nothing is stored."""
    return hmac.new(session_text.encode(), b"ingot csrf", sha256).hexdigest()


def session_text() -> str:
    """Return the text of the session cookie that came, whether it proves anything or not."""
    return request.cookies.get(api_options().cookie_name, "")


def current_csrf_token() -> str:
    """Return the token of this request's session; empty for a personal token."""
    text = session_text()
    return csrf_token(text) if text and "Authorization" not in request.headers else ""


def refuse_foreign_origin() -> None:
    """Refuse changes that a page of another origin sent, with any credential or none."""
    origin = request.headers.get("Origin")
    if request.method in _SAFE or origin is None:
        return
    if origin not in api_options().console_origins:
        raise BadOrigin(
            f"Pages of “{origin[:100]}” may not change anything here.",
            hint="Use the console's own address; a proxy's public URL belongs into listen.console_url.",
        )


def set_session_cookie(response: Response, text: str) -> Response:
    """Give the browser its session; no script can read it."""
    options = api_options()
    response.set_cookie(
        options.cookie_name, text, path="/", httponly=True, samesite="Lax", secure=options.secure_cookie
    )
    return response


def clear_session_cookie(response: Response) -> Response:
    """Make the browser forget its session."""
    options = api_options()
    response.delete_cookie(
        options.cookie_name, path="/", httponly=True, samesite="Lax", secure=options.secure_cookie
    )
    return response


def install_planted_cookie_removal(app: Flask) -> None:
    """Make the browser forget session cookies that another page planted below `/`."""

    def remove(response: Response) -> Response:
        if len(set(_session_cookies())) > 1:
            # A browser sends a cookie only where its path begins the address, so these are all.
            parts = request.path.split("/")[1:_DEEPEST]
            for number in range(1, len(parts) + 1):
                path = "/" + "/".join(parts[:number])
                for place in (path, f"{path}/"):
                    response.delete_cookie(api_options().cookie_name, path=place)
        return response

    app.after_request(remove)


def _session_cookies() -> list[str]:
    return request.cookies.getlist(api_options().cookie_name)


def _credential() -> str:
    """Return the text that proves the sender; a token beats a cookie."""
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer" or not text.startswith("ingt_"):
            raise Unauthenticated(
                "The Authorization header holds no personal token.",
                hint="Send “Authorization: Bearer ingt_…”; `ingot login` makes a token.",
            )
        return text.strip()
    texts = _session_cookies()
    if len(set(texts)) > 1:
        raise Unauthenticated(
            "Two session cookies came at once: another page on this host set one of them.",
            hint="Reload the page. If this stays, remove this host's cookies and sign in again.",
        )
    text = texts[0] if texts else ""
    if not text:
        raise Unauthenticated(
            "This needs a sign-in.",
            hint="Sign in, by `ingot login` too, or send a personal token as Authorization: Bearer.",
        )
    if request.headers.get("Sec-Fetch-Site") not in _OWN_PAGE:
        raise Unauthenticated(
            "The session cookie counts only for the console's own page.",
            hint="Open the console itself; programs use a personal token.",
        )
    if request.method not in _SAFE:
        _require_page_proof(text)
    return text


def _require_page_proof(session_text: str) -> None:
    if request.headers.get("Origin") is None:
        raise BadOrigin("A change with the session cookie needs an Origin.", hint="Use a personal token.")
    sent = request.headers.get("X-CSRF-Token", "")
    if not hmac.compare_digest(sent.encode(), csrf_token(session_text).encode()):
        raise CsrfFailed(
            "The CSRF token is missing or not this session's.", hint="Reload the page and try again."
        )
