"""The functions' origin as an ordered list of HAProxy rules.

This is the map chain: host and path, policy, key, limits, weights, split, slot.
A call is refused at the first rule that sets `sess.why`. Everything that changes
while running is a map entry; a rule here changes only with the product.
What a key may do stands in `admission`, listeners, sections and timeouts in `config`.
"""

from __future__ import annotations

from control_plane.adapters.gateway.admission import key_rules, limits_rules, mode_rules
from control_plane.adapters.gateway.headers import inward_rules, outward_rules, why_rules
from control_plane.adapters.gateway.model import GatewaySettings
from control_plane.adapters.gateway.refusals import refuse

__all__ = ["function_rules", "relay_rules", "slot_rules"]

METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS"


def _identify() -> list[str]:
    """Name the call before anything can refuse it.

    A variable is found by walking its scope's list, so what only these rules need
    is in `req`, and `txn` is for the log and the answer. `sess.why`, looked for
    after each rule, is alone in its list.
    """
    return [
        "http-request unset-var(sess.why)",
        "http-request set-var(txn.m) method",
        "http-request set-var(txn.path) path",
        "http-request set-var(txn.rid) unique-id",
        (
            "http-request set-var(txn.rid) req.fhdr(x-request-id)"
            " if { req.fhdr_cnt(x-request-id) eq 1 } { req.fhdr(x-request-id) -m reg ^[!-~]{1,128}$ }"
        ),
        "http-request set-var(txn.in) req.fhdr(content-length) if { req.fhdr_cnt(content-length) eq 1 }",
        "http-request set-var(txn.origin) req.fhdr(origin)",
    ]


def _well_formed() -> list[str]:
    """Refuse what two parsers could read in two ways."""
    once = ("host", "content-length", "x-api-key", "authorization", "sec-websocket-protocol")
    ambiguous = [
        *(f"{{ req.fhdr_cnt({name}) gt 1 }}" for name in once),
        "{ path -m sub -i /. %2e } { path -m reg -i (^|/)([.]|%2e){1,2}(/|$) }",
        "{ path -m sub -i %00 }",
    ]
    return [
        *refuse("bad_request", ambiguous),
        *refuse(
            "method_not_allowed", f"!{{ method {METHODS} }}", f" hdr Allow '{METHODS.replace(' ', ', ')}'"
        ),
    ]


def _route(settings: GatewaySettings) -> list[str]:
    """Find the function; `/` behind the path keeps acme/orders apart from acme/orders2."""
    maps = settings.map_file
    return [
        "http-request set-var(req.host) str(*)",
        f"http-request set-var(req.host) req.hdr(host),host_only,lower,map({maps('hosts')},*)",
        f"http-request set-var(req.r) var(req.host),concat(,txn.path,/),map_beg({maps('routes')})",
        "http-request set-var(txn.fn) var(req.r),field(1,|)",
        f"http-request set-var(req.p) var(txn.fn),map({maps('policies')})",
        *refuse("no_such_function", "!{ var(req.p) -m found }"),
        "http-request set-var(req.r) var(req.r),field(2,|)",
        "http-request set-var(txn.org) var(req.p),field(1,|)",
        "http-request set-var(txn.prj) var(req.p),field(2,|)",
        "http-request set-var(txn.flags) var(req.p),field(3,|)",
    ]


def _cors(settings: GatewaySettings) -> list[str]:
    """Answer a browser's preflight, which never carries a key."""
    cors = settings.map_file("cors")
    allowed = "{ var(sess.why) -m found } { var(txn.cors) -m found }"
    return [
        (
            f"http-request set-var(txn.cors) var(txn.fn),concat(|,txn.origin),map({cors})"
            " if { var(txn.origin) -m found }"
        ),
        (
            f"http-request set-var(txn.cors) var(txn.fn),concat(|*),map({cors})"
            " if { var(txn.origin) -m found } !{ var(txn.cors) -m found }"
        ),
        (
            "http-request set-var(sess.why) str(preflight) if { method OPTIONS } { var(txn.origin) -m found }"
            " { req.hdr(access-control-request-method) -m found }"
        ),
        (
            "http-request set-var(req.asked) req.fhdr(access-control-request-headers)"
            " if { var(sess.why) -m found }"
            " { req.fhdr(access-control-request-headers) -m reg ^[A-Za-z0-9,\\ _-]{1,512}$ }"
        ),
        (
            f"http-request return status 204 hdr Access-Control-Allow-Methods '{METHODS.replace(' ', ', ')}'"
            " hdr Access-Control-Allow-Headers %[var(req.asked)]"
            f" hdr Access-Control-Max-Age %[var(txn.cors)] if {allowed}"
        ),
        "http-request return status 204 if { var(sess.why) -m found }",
    ]


def _split(settings: GatewaySettings) -> list[str]:
    """Pick the version; header rules of a cluster's routes stand before the weights."""
    maps = settings.map_file
    return [
        "http-request set-var(req.n) rand(100),add(100) if { var(req.r) -m beg W }",
        (
            f"http-request set-var(req.r) var(req.r),concat(:,req.n),map_beg({maps('weights')})"
            " if { var(req.r) -m beg W }"
        ),
        f"http-request set-var(req.d) var(req.r),map({maps('splits')})",
        *refuse("function_unavailable", "!{ var(req.d) -m found }"),
        "http-request set-var(txn.tgt) var(req.d),field(2,|)",
        "http-request set-var(txn.ver) var(req.d),field(3,|)",
        "http-request set-var(req.timeout) var(req.d),field(4,|),add(0)",
        "http-request set-var(txn.mem) var(req.d),field(5,|)",
        "http-request set-var(txn.mode) var(req.d),field(6,|)",
    ]


def _body() -> list[str]:
    """Bound the body: by its length, and only streaming versions may go without one."""
    return [
        *refuse(
            "length_required", "{ req.hdr(transfer-encoding) -m found } !{ var(txn.mode) -m str stream }"
        ),
        "http-request set-var(req.blim) var(req.p),field(6,|),add(0)",
        *refuse("body_too_large", "{ req.hdr_val(content-length),sub(req.blim) gt 0 }"),
    ]


def _arrived(settings: GatewaySettings) -> list[str]:
    """Take in the body, or a buffer of it, before an instance is taken; answer Expect only now.

    The key may be revoked while the body is awaited, so it is looked up once more.
    """
    wait = f"http-request wait-for-body time {settings.request_timeout_ms}ms"
    stream = "{ var(txn.mode) -m str stream }"
    return [
        f"{wait} if {{ req.hdr_val(content-length) gt 0 }} !{stream}",
        f"{wait} at-least 1 if {{ req.hdr(expect) -m found }} {stream}",
        *refuse(
            "key_unknown",
            f"{{ var(req.k) -m found }} !{{ var(req.kh),map({settings.map_file('keys')}) -m found }}",
            " hdr WWW-Authenticate Bearer",
        ),
    ]


def _dispatch() -> list[str]:
    """Note who calls with which key, so that `cut` finds the session, and hand the call over."""
    stream = "{ var(txn.mode) -m str stream }"
    return [
        f"http-request set-header X-Ingot-Slot %[var(req.d),field(1,|)] if {stream}",
        f"http-request set-header X-Ingot-Timeout %[var(req.timeout)] if {stream}",
        "http-request set-var(req.ip) src if { var(req.k) -m found }",
        "http-request set-var(req.port) src_port if { var(req.k) -m found }",
        (
            "http-request track-sc2 var(txn.kid),concat(|,req.ip,:),concat(,req.port) table open_calls"
            " if { var(req.k) -m found }"
        ),
        f"use_backend relay if {stream}",
        "use_backend %[var(req.d),field(1,|)]",
    ]


def function_rules(settings: GatewaySettings) -> list[str]:
    """Return the rules of the functions' frontend, in order."""
    return [
        *_identify(),
        *_well_formed(),
        *_route(settings),
        *_cors(settings),
        *key_rules(settings),
        *_split(settings),
        *mode_rules(settings),
        *_body(),
        *limits_rules(),
        *_arrived(settings),
        *inward_rules(settings),
        *outward_rules(settings),
        *_dispatch(),
    ]


def relay_rules(settings: GatewaySettings) -> list[str]:
    """Return the rules of the inner frontend, which trusts what the outer one set."""
    return [
        "http-request set-var(txn.uid) req.hdr(x-ingot-usage-id)",
        "http-request set-var(txn.t) req.hdr(x-ingot-usage-id),field(1,-)",
        "http-request set-var(txn.rid) req.fhdr(x-request-id)",
        "http-request set-var(txn.slot) req.hdr(x-ingot-slot)",
        "http-request set-var(req.timeout) req.hdr(x-ingot-timeout),add(0)",
        "http-request del-header X-Ingot-Slot",
        "http-request del-header X-Ingot-Timeout",
        "http-response set-var(res.up) bool(1)",
        "http-response del-header X-Ingot- -m beg",
        *why_rules(settings, relayed=True),
        "use_backend %[var(txn.slot)]",
    ]


def slot_rules(longest_queue: int) -> list[str]:
    """Return the rules of every slot, which both frontends reach."""
    return [
        "http-request set-var(txn.waits) date(0,ms)",
        *refuse("queue_full", f"{{ queue ge {longest_queue} }}"),
        "http-request set-timeout server var(req.timeout)",
    ]
