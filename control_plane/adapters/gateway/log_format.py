"""The log lines of docs/contracts.md as HAProxy formats; `access_log` reads them back.

Every value is a quoted string, because `logasap` writes numbers as "+91", and
every text from outside goes through json(utf8s).
"""

from __future__ import annotations

__all__ = ["ACCESS_FORMAT", "BROKEN_FORMAT", "END_FORMAT"]


def _line(fields: tuple[tuple[str, str], ...]) -> str:
    quoted = ((name, value) if value.startswith("%{+Q}") else (name, f'"{value}"') for name, value in fields)
    return "{" + ",".join(f'"{name}":{value}' for name, value in quoted) + "}"


def _text(variable: str) -> str:
    """Return a text's format; +Q quotes it, because without it a missing one reads as a dash."""
    return f"%{{+Q}}[var(txn.{variable}),json(utf8s)]"


ACCESS_FORMAT = _line(
    (
        ("v", "1"),
        ("id", "%[unique-id]"),
        ("t", "%[unique-id,field(1,-)]"),
        ("rid", _text("rid")),
        ("org", _text("org")),
        ("prj", _text("prj")),
        ("fn", _text("fn")),
        ("ver", _text("ver")),
        ("key", _text("kid")),
        ("tgt", _text("tgt")),
        ("st", "%ST"),
        ("ts", "%ts"),
        ("why", "%{+Q}[var(sess.why),json(utf8s)]"),
        ("tw", "%Tw"),
        ("tc", "%Tc"),
        ("tr", "%Tr"),
        ("ta", "%Ta"),
        ("m", _text("m")),
        ("path", "%{+Q}[var(txn.path),bytes(0,8000),json(utf8s)]"),
        ("in", _text("in")),
        ("out", _text("out")),
        ("mode", _text("mode")),
        ("mem", _text("mem")),
    )
)

# A connection that never carried a readable request has no stream and no variables.
BROKEN_FORMAT = _line(
    (
        ("v", "1"),
        ("id", "%[date(0,ms)]-%[uuid()]"),
        ("t", "%[date(0,ms)]"),
        *((name, "") for name in ("rid", "org", "prj", "fn", "ver", "key", "tgt")),
        ("st", "400"),
        ("ts", "PR"),
        ("why", "bad_request"),
        *((name, "") for name in ("tw", "tc", "tr", "ta", "m", "path", "in", "out", "mode", "mem")),
    )
)

END_FORMAT = _line(
    (
        ("v", "1"),
        ("end", _text("uid")),
        ("t", "%[var(txn.t)]"),
        ("ta", "%Ta"),
        ("tw", "%Tw"),
        ("in", "%U"),
        ("out", "%B"),
        ("ts", "%ts"),
        ("st", "%ST"),
    )
)
