"""What a call meets on its way to a Knative backend, as an ordered list of HAProxy rules.

Host and path, header rules, weights, split, slot: everything that changes while
running is a map entry. Header names alone stand in the text. Listeners and
timeouts are in `config`.
"""

from __future__ import annotations

from control_plane.adapters.gateway.refusals import refuse
from operators.ingress.model import Positions
from operators.ingress.settings import IngressSettings

__all__ = ["PROBE_NAME", "frontend_rules"]

# The bind on which only the controller asks; no call from outside comes in there.
PROBE_NAME = "probe"

_UNROUTED = "!{ var(txn.r) -m found }"


def _identify() -> list[str]:
    return [
        "http-request unset-var(sess.why)",
        "http-request set-var(txn.m) method",
        "http-request set-var(txn.path) path",
        "http-request set-var(txn.rid) unique-id",
        # What stands behind a slash is no part of a host, or it could choose another host's path.
        "http-request set-var(txn.host) req.hdr(host),host_only,lower,field(1,/)",
        *refuse("bad_request", "{ req.fhdr_cnt(host) gt 1 }"),
    ]


def _route(settings: IngressSettings, table: str) -> list[str]:
    """Find the longest prefix, which is one look into a tree."""
    routes, hashes = settings.map_file(f"routes-{table}"), settings.map_file(f"hashes-{table}")
    known = f"%[var(txn.host),map({hashes})]"
    return [
        f"http-request set-var(txn.r) var(txn.host),concat(,txn.path),map_beg({routes})",
        *refuse("no_such_function", _UNROUTED),
        f"http-request return status 200 hdr K-Network-Hash {known} if {{ so_name {PROBE_NAME} }}",
        f"http-request set-header K-Network-Hash {known} if {{ req.hdr(K-Network-Hash) override }}",
    ]


def _arrive(settings: IngressSettings, table: str) -> list[str]:
    """Let a caller from outside say nothing that the gateway vouches for."""
    redirect = (
        "http-request redirect scheme https code 301"
        f" if !{{ ssl_fc }} {{ var(txn.host),map({settings.map_file('redirects')}) -m found }}"
    )
    outside = [
        redirect,
        "http-request del-header X-Ingot- -m beg",
        "http-request del-header Forwarded",
        "http-request del-header X-Forwarded- -m beg",
        "http-request del-header X-Real-Ip",
    ]
    return [
        *(outside if table == "public" else []),
        "http-request add-header X-Forwarded-For %[src] if { src -m found }",
        (
            "http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]"
            " if !{ req.hdr(x-forwarded-proto) -m found }"
        ),
        "http-request set-header X-Request-Id %[var(txn.rid)] if !{ req.hdr(x-request-id) -m found }",
    ]


def _match_headers(settings: IngressSettings, matched: tuple[str, ...]) -> list[str]:
    """Go from state to state, one look for each name that any route matches."""
    steps, states = settings.map_file("steps"), settings.map_file("states")
    inside = "{ var(txn.r) -m beg H }"
    rules: list[str] = []
    for place, name in enumerate(matched):
        rules += [
            f"http-request set-var(req.v) req.fhdr({name}),url_enc if {inside}",
            (
                f"http-request set-var(req.n) var(txn.r),concat(|{place}=,req.v),map({steps})"
                f" if {inside} {{ req.fhdr({name}) -m found }}"
            ),
            "http-request set-var(txn.r) var(req.n) if { var(req.n) -m found }",
            "http-request unset-var(req.n)",
        ]
    return [*rules, f"http-request set-var(txn.r) var(txn.r),map({states}) if {inside}"]


def _split(settings: IngressSettings) -> list[str]:
    weights, splits = settings.map_file("weights"), settings.map_file("splits")
    return [
        "http-request set-var(req.w) rand(100),add(100) if { var(txn.r) -m beg W }",
        (
            f"http-request set-var(txn.r) var(txn.r),concat(:,req.w),map_beg({weights})"
            " if { var(txn.r) -m beg W }"
        ),
        f"http-request set-var(txn.d) var(txn.r),map({splits})",
        *refuse("no_such_function", "!{ var(txn.d) -m found }"),
    ]


def _dispatch(appended: tuple[str, ...]) -> list[str]:
    """Set what the split says; values are percent-encoded in the map, so any text fits a field."""
    host = "var(txn.d),field(2,|)"
    rules = [f"http-request set-header Host %[{host}] if {{ {host} -m len gt 0 }}"]
    for place, name in enumerate(appended):
        value = f"var(txn.d),field({place + 3},|)"
        rules.append(f"http-request set-header {name} %[{value},url_dec] if {{ {value} -m len gt 0 }}")
    return [*rules, "use_backend %[var(txn.d),field(1,|)]"]


def frontend_rules(settings: IngressSettings, positions: Positions, table: str) -> list[str]:
    """Return the rules of one listener, in order."""
    return [
        *_identify(),
        *_route(settings, table),
        *_arrive(settings, table),
        *_match_headers(settings, positions.matched),
        *_split(settings),
        *_dispatch(positions.appended),
    ]
