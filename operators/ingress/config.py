"""HAProxy's configuration for the ingress as a pure function of settings and positions.

What a call meets is in `rules`; this module holds processes, listeners, timeouts
and slots. Nothing here reads or writes.
"""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.adapters.gateway.refusals import REFUSALS, problem
from operators.ingress.model import Positions, Servers
from operators.ingress.rules import PROBE_NAME, frontend_rules
from operators.ingress.settings import IngressSettings

__all__ = ["INHERITED", "render_config", "render_slots"]

# Environment variables, each with the number of a listening socket that HAProxy inherits.
INHERITED: Mapping[str, str] = {
    "public": "INGOT_FD_PUBLIC",
    "public-tls": "INGOT_FD_PUBLIC_TLS",
    "private": "INGOT_FD_PRIVATE",
}

_OWN_ERRORS = {
    400: "bad_request",
    408: "request_timeout",
    500: "function_failed",
    502: "function_failed",
    503: "function_unavailable",
    504: "function_timeout",
}

_LOG = (
    "'{"
    + ",".join(
        f'"{name}":{value}'
        for name, value in (
            ("t", '"%[date(0,ms)]"'),
            ("id", '"%[unique-id]"'),
            ("listener", '"%f"'),
            ("m", "%{+Q}[var(txn.m),json(utf8s)]"),
            ("host", "%{+Q}[var(txn.host),json(utf8s)]"),
            ("path", "%{+Q}[var(txn.path),bytes(0,8000),json(utf8s)]"),
            ("st", '"%ST"'),
            ("ts", '"%ts"'),
            ("why", "%{+Q}[var(sess.why)]"),
            ("tw", '"%Tw"'),
            ("tc", '"%Tc"'),
            ("tr", '"%Tr"'),
            ("ta", '"%Ta"'),
            ("in", '"%U"'),
            ("out", '"%B"'),
            ("slot", '"%b"'),
            ("server", '"%s"'),
        )
    )
    + "}'"
)


def _section(head: str, lines: list[str]) -> str:
    return "\n".join([head, *(f"    {line}" for line in lines), ""])


def _global(settings: IngressSettings) -> str:
    return _section(
        "global",
        [
            f"stats socket {settings.admin_socket} mode 600 level admin expose-fd listeners",
            "stats timeout 10s",
            # Calls are written as errors, so that HAProxy's own remarks, all below, stay out of the log.
            "log stdout len 65535 format raw local0 err",
            f"maxconn {settings.connections}",
            # More would need a privilege where the hard limit is low.
            f"fd-hard-limit {settings.connections * 2 + 1_000}",
            # One event loop serves what two cores of functions can answer (ADR 0050).
            "nbthread 1",
            "hard-stop-after 1h",
            "tune.bufsize 32768",
            "tune.maxrewrite 4096",
            "tune.http.maxhdr 128",
            "tune.pattern.cache-size 0",
            "ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets",
            *(
                ()
                if settings.worker_uid is None
                else (f"uid {settings.worker_uid}", f"gid {settings.worker_uid}")
            ),
        ],
    )


def _defaults() -> str:
    kind = "content-type application/problem+json"
    errors = [
        f"http-error status {status} {kind} lf-string '{problem(REFUSALS[code])}'"
        for status, code in _OWN_ERRORS.items()
    ]
    return _section(
        "defaults knative",
        [
            "mode http",
            "timeout connect 2s",
            # How long a call may take is for queue-proxy to say, which knows the revision.
            "timeout client 1h",
            "timeout server 1h",
            "timeout tunnel 24h",
            "timeout http-request 30s",
            "timeout http-keep-alive 60s",
            "timeout queue 60s",
            "timeout client-fin 10s",
            # Without it each new caller opens a new connection, until a pod's address has no port left.
            "http-reuse always",
            "option idle-close-on-response",
            "option dontlognull",
            "retries 3",
            "retry-on conn-failure",
            "option redispatch 1",
            "balance leastconn",
            "unique-id-format %[date(0,ms)]-%[uuid()]",
            *errors,
        ],
    )


def _frontend(settings: IngressSettings, positions: Positions, table: str) -> str:
    binds = [f'bind "fd@${{{INHERITED[table]}}}"']
    if table == "public":
        binds.append(
            f'bind "fd@${{{INHERITED["public-tls"]}}}" ssl crt-list {settings.certificate_list}'
            " alpn h2,http/1.1"
        )
    else:
        binds.append(f"bind unix@{settings.gateway_socket} mode 600")
    binds.append(f"bind unix@{settings.probe_socket(table)} mode 600 name {PROBE_NAME}")
    return _section(
        f"frontend knative-{table} from knative",
        [
            *binds,
            "log global",
            "option log-separate-errors",
            *(() if settings.log_all else ("option dontlog-normal",)),
            f"http-request set-log-level silent if {{ so_name {PROBE_NAME} }}",
            f"http-request set-log-level err if !{{ so_name {PROBE_NAME} }}",
            f"log-format {_LOG}",
            *frontend_rules(settings, positions, table),
        ],
    )


def render_config(settings: IngressSettings, positions: Positions) -> str:
    """Return the configuration; slots follow in a file of their own."""
    return "\n".join(
        [
            _global(settings),
            _defaults(),
            _frontend(settings, positions, "public"),
            _frontend(settings, positions, "private"),
        ]
    )


def render_slots(count: int, servers: Servers) -> str:
    """Return the slots with the servers that stand in them, so that a restart finds them."""
    lines: list[str] = []
    for number in range(count):
        lines.append(f"backend k{number} from knative")
        lines += [f"    server {server.name} {server.words}" for server in servers.get(number, ())]
    return "\n".join([*lines, ""])
