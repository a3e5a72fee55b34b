"""What of a call's headers passes inward to a function and outward to its caller.

The lists are those of docs/contracts.md. Whether a call is let in at all stands
in `rules`.
"""

from __future__ import annotations

from control_plane.adapters.gateway.model import GatewaySettings

__all__ = ["WEBSOCKET_KEY", "inward_rules", "outward_rules", "waited_out", "why_rules"]

WEBSOCKET_KEY = "{ req.hdr(sec-websocket-protocol) -m beg ingot.key. }"
_AROUND_KEY = "^(.*?)[,\\ ]*ingot[.]key[.][^,\\ ]*(.*)$"


def waited_out(settings: GatewaySettings) -> str:
    """Return an expression: 0 until a call has waited the whole queue time in its slot.

    HAProxy sets its termination state only after the answer's rules have run.
    """
    return f"date(0,ms),sub(txn.waits),div({settings.queue_timeout_ms})"


def inward_rules(settings: GatewaySettings) -> list[str]:
    """Give the function only headers that the caller may set or that the gateway vouches for."""
    return [
        "http-request del-header Expect",
        "http-request del-header Cookie",
        "http-request del-header Authorization if !{ var(txn.flags) -m sub o }",
        "http-request del-header X-Api-Key",
        "http-request del-header X-Ingot- -m beg",
        # An underscore would become the same CGI variable as a dash.
        "http-request del-header _ -m sub",
        "http-request del-header Proxy- -m beg",
        "http-request del-header Keep-Alive",
        "http-request del-header TE",
        "http-request del-header Upgrade if !{ var(txn.mode) -m str stream }",
        "http-request set-var(txn.chosen) str(ingot) if { req.hdr(sec-websocket-protocol) -m str ingot }",
        f"http-request replace-header Sec-WebSocket-Protocol {_AROUND_KEY} \\1\\2 if {WEBSOCKET_KEY}",
        "http-request replace-header Sec-WebSocket-Protocol ^[,\\ ]+(.*)$ \\1",
        (
            f"http-request del-header Sec-WebSocket-Protocol if {WEBSOCKET_KEY}"
            " || { req.fhdr(sec-websocket-protocol) -m len 0 }"
        ),
        "http-request del-header Forwarded",
        "http-request del-header X-Forwarded- -m beg",
        "http-request del-header X-Real-Ip",
        "http-request set-header X-Forwarded-For %[src]",
        "http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        *(_ingress_rules(settings) if settings.ingress else ()),
        f"http-request set-header X-Forwarded-Proto {settings.functions_scheme}",
        "http-request set-header X-Forwarded-Prefix /%[path,field(2,/,2)]",
        "http-request set-header X-Ingot-Usage-Id %[unique-id]",
        "http-request set-header X-Ingot-Key-Id %[var(txn.kid)] if { var(txn.kid) -m found }",
        "http-request set-header X-Request-Id %[var(txn.rid)]",
        *_trace_rules(settings.trace_percent),
        # The function sees itself at the root, and never an absolute URI.
        "http-request set-path /%[path,field(4,/,0)]",
        "http-request set-uri %[pathq] if !{ url -m beg / }",
    ]


def _ingress_rules(settings: GatewaySettings) -> list[str]:
    """Name the version by the host that the cluster's ingress knows it by, and vouch for the call."""
    # The split's last field: only a target of a cluster has one.
    elsewhere = "{ var(req.d),field(7,|) -m len gt 0 }"
    return [
        f"http-request set-header Host %[var(req.d),field(7,|)] if {elsewhere}",
        f"http-request set-var(req.hop) var(txn.fn),map({settings.map_file('hop')}) if {elsewhere}",
        "http-request set-header X-Ingot-Hop %[var(req.hop)] if { var(req.hop) -m found }",
    ]


def _trace_rules(percent: float) -> list[str]:
    """Go on with the caller's trace when it is one; else begin one, of which `percent` are exported."""
    trace = "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"
    parent = "unique-id,xxh64(1),hex,lower"
    kept = "{ var(req.trace) -m found }"
    return [
        (
            "http-request set-var(req.trace) req.fhdr(traceparent)"
            f" if {{ req.fhdr(traceparent) -m reg {trace} }}"
            " !{ req.fhdr(traceparent),field(2,-) -m str 00000000000000000000000000000000 }"
            " !{ req.fhdr(traceparent),field(3,-) -m str 0000000000000000 }"
        ),
        (
            "http-request set-header traceparent 00-%[var(req.trace),field(2,-)]"
            f"-%[{parent}]-%[var(req.trace),field(4,-)] if {kept}"
        ),
        (
            "http-request set-header traceparent 00-%[unique-id,xxh64(2),hex,lower]"
            f"%[unique-id,xxh64(3),hex,lower]-%[{parent}]-00 if !{kept}"
        ),
        *_recorded_trace(percent),
        f"http-request del-header tracestate if !{kept}",
    ]


def _recorded_trace(percent: float) -> list[str]:
    """Put the trace into the access record; the header is ours by now, so it holds nothing but hex."""
    if not percent:
        return ["http-request set-var(txn.trc) req.fhdr(traceparent),field(2,-)"]
    return [
        (
            "http-request replace-header traceparent ^(.*)-00$ \\1-01"
            f" if !{{ var(req.trace) -m found }} {{ rand(10000) lt {round(percent * 100)} }}"
        ),
        "http-request set-var-fmt(txn.trc) %[req.fhdr(traceparent),bytes(3)]-%[var(req.trace),field(3,-)]",
    ]


def why_rules(settings: GatewaySettings, relayed: bool) -> list[str]:
    """Name the errors that HAProxy itself answered, by status."""
    own = "!{ var(res.up) -m found } !{ var(sess.why) -m found }"
    codes = [
        ("function_failed", "{ status 500 502 }"),
        ("function_timeout", "{ status 504 }"),
        ("request_timeout", "{ status 408 }"),
        # Once routed, HAProxy's 400 goes to nobody: the caller hung up, which is no refusal.
        ("bad_request", "{ status 400 } !{ var(txn.tgt) -m found } !{ var(txn.waits) -m found }"),
    ]
    rules = [
        (
            f"http-after-response set-var(sess.why) {waited_out(settings)}"
            ",iif(queue_full,function_unavailable)"
            f" if {own} {{ status 503 }}"
        )
    ]
    rules += [
        f"http-after-response set-var(sess.why) str({code}) if {own} {status}" for code, status in codes
    ]
    if relayed:
        rules.append(
            "http-after-response set-header X-Ingot-Why %[var(sess.why)] if { var(sess.why) -m found }"
        )
    return rules


def outward_rules(settings: GatewaySettings) -> list[str]:
    """Let nothing out that could act on the viewer's other origins."""
    return [
        "http-response set-var(res.up) bool(1)",
        "http-response set-var(txn.out) res.fhdr(content-length)",
        "http-response set-var(sess.why) res.hdr(x-ingot-why) if { var(txn.mode) -m str stream }",
        "http-response del-header Set-Cookie",
        "http-response del-header Clear-Site-Data",
        "http-response del-header Service-Worker-Allowed",
        "http-response del-header X-Ingot- -m beg",
        "http-response del-header Access-Control- -m beg",
        (
            "http-response set-header Sec-WebSocket-Protocol ingot if { status 101 }"
            " { var(txn.chosen) -m found } !{ res.hdr(sec-websocket-protocol) -m found }"
        ),
        *why_rules(settings, relayed=False),
        (
            "http-after-response add-header Server-Timing 'queue;dur=%Tw, connect;dur=%Tc, function;dur=%Tr'"
            " if { var(res.up) -m found }"
        ),
        "http-after-response set-header X-Content-Type-Options nosniff",
        "http-after-response add-header Content-Security-Policy sandbox if !{ var(txn.flags) -m sub u }",
        "http-after-response set-header X-Request-Id %[var(txn.rid)] if { var(txn.rid) -m found }",
        "http-after-response set-header X-Ingot-Usage-Id %[unique-id]",
        (
            "http-after-response set-header Access-Control-Allow-Origin %[var(txn.origin)]"
            " if { var(txn.cors) -m found }"
        ),
        (
            "http-after-response set-header Access-Control-Expose-Headers"
            " 'X-Request-Id, X-Ingot-Usage-Id, Server-Timing, Retry-After, Location'"
            " if { var(txn.cors) -m found }"
        ),
        "http-after-response add-header Vary Origin if { var(txn.origin) -m found }",
    ]
