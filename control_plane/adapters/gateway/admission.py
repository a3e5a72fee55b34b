"""Who is let in: the lease, the key, its networks, scopes and modes, and how much at once.

The order of these rules among the others is that of `rules`. What a key is
bound to is in maps; nothing here changes while running.
"""

from __future__ import annotations

from control_plane.adapters.gateway.headers import WEBSOCKET_KEY
from control_plane.adapters.gateway.model import GatewaySettings
from control_plane.adapters.gateway.refusals import refuse

__all__ = ["key_rules", "limits_rules", "mode_rules"]


def key_rules(settings: GatewaySettings) -> list[str]:
    """Check the lease and the key; the key itself is hashed at once and never kept."""
    maps = settings.map_file
    challenge = " hdr WWW-Authenticate Bearer"
    # A letter of the key's own entry stands before each look-up that most keys do not need.
    addressed = "{ var(req.kf) -m sub a }"
    listed = f"var(req.net),length,concat(|,txn.kid,|),concat(,req.net),map_beg({maps('addresses')})"
    hashed = "sha2(256),hex,lower"
    outside = [
        (
            "{ var(req.kf) -m sub s }"
            f" !{{ var(txn.kid),concat(|,txn.fn),map({maps('scopes')}) -m found }}"
            f" !{{ var(txn.kid),concat(|,txn.prj),map({maps('scopes')}) -m found }}"
        ),
        (
            "{ var(req.k) -m found } !{ var(req.kf) -m sub s }"
            " !{ var(txn.flags) -m sub p } !{ var(req.k),field(2,|),strcmp(txn.org) eq 0 }"
        ),
    ]
    return [
        f"http-request set-var(req.lease) str(until),map_str_int({maps('lease')},0)",
        *refuse("metering_lapsed", "{ date,sub(req.lease) ge 0 }"),
        f"http-request set-var(req.kh) req.fhdr(x-api-key),{hashed}",
        (
            f"http-request set-var(req.kh) http_auth_bearer,{hashed}"
            " if !{ var(req.kh) -m found } !{ var(txn.flags) -m sub o }"
        ),
        (
            "http-request set-var(req.kh) req.fhdr(sec-websocket-protocol)"
            f",regsub(^.*ingot[.]key[.],),regsub([^A-Za-z0-9._~-].*$,),{hashed}"
            f" if !{{ var(req.kh) -m found }} {WEBSOCKET_KEY}"
        ),
        f"http-request set-var(req.k) var(req.kh),map({maps('keys')})",
        "http-request set-var(txn.kid) var(req.k),field(1,|)",
        "http-request set-var(req.kf) var(req.k),field(3,|)",
        *refuse("key_missing", "!{ var(req.kh) -m found } !{ var(txn.flags) -m sub p }", challenge),
        *refuse("key_unknown", "{ var(req.kh) -m found } !{ var(req.k) -m found }", challenge),
        "http-request set-var(req.kexp) var(req.k),field(6,|),add(0)",
        *refuse("key_expired", "{ var(req.k) -m found } { date,sub(req.kexp) ge 0 }", challenge),
        f"http-request set-var(req.net) src,hex if {addressed}",
        *refuse("key_address", f"{addressed} !{{ {listed} -m found }}"),
        *refuse("key_scope", outside),
    ]


def mode_rules(settings: GatewaySettings) -> list[str]:
    """Let a key with modes call in those alone; `Prefer: respond-async` asks for an async call."""
    limited = "{ var(req.kf) -m sub m }"
    asked = "{ req.hdr(prefer) -m sub -i respond-async }"
    modes = settings.map_file("modes")
    return refuse(
        "key_mode",
        [
            f"{limited} !{asked} !{{ var(txn.kid),concat(|,txn.mode),map({modes}) -m found }}",
            f"{limited} {asked} !{{ var(txn.kid),concat(|async),map({modes}) -m found }}",
        ],
    )


def limits_rules() -> list[str]:
    """Count only accepted calls, so that a caller who hammers recovers when it slows down."""
    of_key, of_function = "if { var(req.kf) -m sub l }", "if { var(txn.flags) -m sub l }"
    rules = [
        f"http-request set-var(req.krate) var(req.k),field(4,|),add(0) {of_key}",
        f"http-request set-var(req.kconc) var(req.k),field(5,|),add(0) {of_key}",
        f"http-request set-var(req.frate) var(req.p),field(4,|),add(0) {of_function}",
        f"http-request set-var(req.fconc) var(req.p),field(5,|),add(0) {of_function}",
        f"http-request track-sc0 var(txn.kid) table key_limits {of_key}",
        f"http-request track-sc1 var(txn.fn) table function_limits {of_function}",
    ]
    tables = ((0, "key_limits", "k"), (1, "function_limits", "f"))
    rate = [
        f"{{ var(req.{letter}rate) -m int gt 0 }}"
        f" {{ sc{number}_gpc0_rate({table}),sub(req.{letter}rate) ge 0 }}"
        for number, table, letter in tables
    ]
    at_once = [
        f"{{ var(req.{letter}conc) -m int gt 0 }}"
        f" {{ sc{number}_conn_cur({table}),sub(req.{letter}conc) gt 0 }}"
        for number, table, letter in tables
    ]
    return [
        *rules,
        *refuse("concurrency_limited", at_once),
        *refuse("rate_limited", rate),
        f"http-request sc-inc-gpc0(0) {of_key}",
        f"http-request sc-inc-gpc0(1) {of_function}",
    ]
