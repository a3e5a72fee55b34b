"""The security headers of the console's origin, on every answer without exception."""

from __future__ import annotations

from typing import Final

from flask import Flask, Response, request

__all__ = ["CONTENT_SECURITY_POLICY", "DOWNLOAD_POLICY", "SECURITY_HEADERS", "install_security_headers"]

CONTENT_SECURITY_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        # Forms are sent by script; without it they must not reach any address.
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)

# For bytes that somebody uploaded: even where a browser shows them, they are of no origin and run nothing.
DOWNLOAD_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; sandbox"

SECURITY_HEADERS: Final[dict[str, str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # Functions live on another port of the same site, so both must be same-origin.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def install_security_headers(app: Flask) -> None:
    """Add the headers to every answer; what reads private data is never cached."""

    def add(response: Response) -> Response:
        download = response.headers.get("Content-Security-Policy") == DOWNLOAD_POLICY
        for name, value in SECURITY_HEADERS.items():
            response.headers[name] = value
        if download:
            response.headers["Content-Security-Policy"] = DOWNLOAD_POLICY
        if request.path.startswith("/api/"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    app.after_request(add)
