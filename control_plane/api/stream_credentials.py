"""Which credential opens a stream: the same rules as for any read of the API, without Flask."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from control_plane.api.state import ApiOptions
from control_plane.errors import Unauthenticated

__all__ = ["credential_of"]


def credential_of(headers: Mapping[str, str], options: ApiOptions) -> str:
    """Return the token or session text in lower-case `headers`. Raises Unauthenticated."""
    scheme, _, text = headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() == "bearer" and text.startswith("ingt_"):
            return text.strip()
        raise Unauthenticated("The Authorization header holds no personal token.")
    sent = headers.get("cookie", "")
    pairs = [part.strip() for part in sent.split(";")]
    if len({pair for pair in pairs if pair.startswith(f"{options.cookie_name}=")}) > 1:
        raise Unauthenticated("Two session cookies came at once: another page on this host set one of them.")
    try:
        cookie = SimpleCookie(sent).get(options.cookie_name)
    except CookieError:
        cookie = None
    if cookie is None:
        raise Unauthenticated("This needs a sign-in.", hint="Sign in at /, or send a personal token.")
    # Functions on another port are same-site: their pages must not listen with this cookie.
    if headers.get("sec-fetch-site") not in {"same-origin", "none"}:
        raise Unauthenticated("The session cookie counts only for the console's own page.")
    return cookie.value
