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


def _name(variable: str) -> str:
    """Return the format of a value from our own maps, whose characters `maps` has checked already."""
    return f"%{{+Q}}[var({variable})]"


ACCESS_FORMAT = _line(
    (
        ("v", "1"),
        ("id", "%[unique-id]"),
        ("t", "%[unique-id,field(1,-)]"),
        ("rid", _text("rid")),
        ("org", _name("txn.org")),
        ("prj", _name("txn.prj")),
        ("fn", _name("txn.fn")),
        ("ver", _name("txn.ver")),
        ("key", _name("txn.kid")),
        ("tgt", _name("txn.tgt")),
        ("st", "%ST"),
        ("ts", "%ts"),
        ("why", _name("sess.why")),
        ("tw", "%Tw"),
        ("tc", "%Tc"),
        ("tr", "%Tr"),
        ("ta", "%Ta"),
        ("m", _text("m")),
        ("path", "%{+Q}[var(txn.path),bytes(0,8000),json(utf8s)]"),
        ("in", _text("in")),
        ("out", _text("out")),
        ("mode", _name("txn.mode")),
        ("mem", _name("txn.mem")),
        ("trc", _name("txn.trc")),
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
        *((name, "") for name in ("tw", "tc", "tr", "ta", "m", "path", "in", "out", "mode", "mem", "trc")),
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
