"""HAProxy's configuration as a pure function of the settings.

What a call meets is in `rules`; this module holds processes, listeners,
timeouts, errors and slots. Nothing here reads or writes.
"""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.adapters.gateway.headers import waited_out
from control_plane.adapters.gateway.log_format import ACCESS_FORMAT, BROKEN_FORMAT, END_FORMAT
from control_plane.adapters.gateway.model import GatewaySettings, SlotServer
from control_plane.adapters.gateway.refusals import REFUSALS, either_problem, problem
from control_plane.adapters.gateway.rules import function_rules, relay_rules, slot_rules

__all__ = ["render_config", "render_slots"]

_OWN_ERRORS = {
    400: "bad_request",
    408: "request_timeout",
    500: "function_failed",
    502: "function_failed",
    503: "function_unavailable",
    504: "function_timeout",
}


_CONSOLE_ERRORS = (
    (400, "bad_request", "Bad request"),
    (408, "request_timeout", "Request timeout"),
    (500, "internal", "Internal error"),
    (502, "unavailable", "The control plane broke off"),
    (503, "unavailable", "The control plane is not running"),
    (504, "unavailable", "The control plane did not answer in time"),
)


def _section(head: str, lines: list[str]) -> str:
    return "\n".join([head, *(f"    {line}" for line in lines), ""])


def _admin_options(settings: GatewaySettings) -> str:
    return "mode 600" if settings.control_gid is None else f"mode 660 gid {settings.control_gid}"


def _global(settings: GatewaySettings) -> str:
    lines = [
        f"stats socket {settings.admin_socket} {_admin_options(settings)} level admin expose-fd listeners",
        "stats timeout 10s",
        # Records are written as errors, so that HAProxy's own remarks, all below, stay out of the file.
        'log "fd@${INGOT_FD_ACCESS_LOG}" len 65535 format raw local0 err',
        f"maxconn {settings.connections}",
        # With a second thread lines were lost, which are uncounted calls (ADR 0050).
        "nbthread 1",
        # A draining worker ends its last streams after this.
        "hard-stop-after 1h",
        "tune.bufsize 32768",
        "tune.maxrewrite 4096",
        "tune.http.maxhdr 128",
        # The lists that rules compare with are shorter than a look into the cache takes.
        "tune.pattern.cache-size 0",
    ]
    return _section("global", lines)


def _errors(settings: GatewaySettings) -> list[str]:
    bodies = {status: problem(REFUSALS[code]) for status, code in _OWN_ERRORS.items()}
    bodies[503] = either_problem(
        waited_out(settings), REFUSALS["queue_full"], REFUSALS["function_unavailable"]
    )
    return [
        f"http-error status {status} content-type application/problem+json lf-string '{body}'"
        for status, body in bodies.items()
    ]


def _console_errors() -> list[str]:
    # Fixed texts, as what is refused while it is read has nothing to fill in yet.
    return [
        f"http-error status {status} content-type application/problem+json string"
        f' \'{{"type":"/docs/errors#{code}","title":"{title}","status":{status},"detail":"{title}.",'
        f'"instance":"","code":"{code}","request_id":"","errors":[]}}\''
        for status, code, title in _CONSOLE_ERRORS
    ]


def _defaults(settings: GatewaySettings, pooled: bool = False) -> list[str]:
    return [
        "mode http",
        "timeout connect 1s",
        f"timeout client {settings.idle_timeout_ms}ms",
        f"timeout server {settings.idle_timeout_ms}ms",
        f"timeout http-request {settings.request_timeout_ms}ms",
        f"timeout http-keep-alive {settings.idle_timeout_ms}ms",
        f"timeout tunnel {settings.tunnel_timeout_ms}ms",
        f"timeout queue {settings.queue_timeout_ms}ms",
        "timeout client-fin 10s",
        *_reuse(pooled),
        # A draining worker answers once more on a kept connection instead of closing it under a caller.
        "option idle-close-on-response",
        "option abortonclose",
        "option dontlognull",
        "retries 3",
        "retry-on conn-failure",
    ]


def _reuse(pooled: bool) -> list[str]:
    if pooled:
        # Another proxy stands between, and a connection for each call would use up its ports.
        return ["http-reuse always"]
    # One connection for each call: an instance never sees two callers on one.
    return ["option http-server-close", "http-reuse never"]


def _both_defaults(settings: GatewaySettings) -> str:
    unique = "unique-id-format %[date(0,ms)]-%[uuid()]"
    return "\n".join(
        [
            _section(
                "defaults base",
                [*_defaults(settings, pooled=bool(settings.ingress)), unique, *_errors(settings)],
            ),
            _section("defaults control", [*_defaults(settings), *_console_errors()]),
        ]
    )


def _console(settings: GatewaySettings) -> str:
    front = _section(
        "frontend console from control",
        [
            f'bind "fd@${{INGOT_FD_CONSOLE}}" {settings.bind_options}',
            "no log",
            "http-request del-header X-Ingot- -m beg",
            "http-request del-header Forwarded",
            "http-request del-header X-Forwarded- -m beg",
            "http-request set-header X-Forwarded-For %[src]",
            f"http-request set-header X-Forwarded-Proto {settings.console_scheme}",
            "use_backend streams if { path /api/v1/stream } || { path -m beg /api/v1/stream/ }",
            "default_backend api",
        ],
    )
    api = _section(
        "backend api from control",
        [
            f"timeout server {settings.api_timeout_ms}ms",
            # A restart of the api takes seconds; its callers wait instead of failing.
            "retries 10",
            "balance leastconn",
            *(
                f"server api-{number} unix@{settings.socket(f'api-{number}.sock')}"
                for number in range(settings.api_processes)
            ),
        ],
    )
    streams = _section(
        "backend streams from control",
        [
            f"timeout server {settings.stream_timeout_ms}ms",
            "retries 10",
            f"server streams unix@{settings.socket('streams.sock')}",
        ],
    )
    return "\n".join([front, api, streams])


def _functions(settings: GatewaySettings) -> str:
    return _section(
        "frontend functions from base",
        [
            f'bind "fd@${{INGOT_FD_FUNCTIONS}}" {settings.bind_options}',
            "log global",
            "option log-separate-errors",
            "http-request set-log-level err",
            "option logasap",
            f"log-format '{ACCESS_FORMAT}'",
            f"error-log-format '{BROKEN_FORMAT}'",
            *function_rules(settings),
        ],
    )


def _relay(settings: GatewaySettings) -> str:
    outer = _section(
        "backend relay from base",
        [
            # The inner frontend times out first and says why.
            f"http-request set-timeout server var(req.timeout),add({settings.queue_timeout_ms + 5_000})",
            f"server relay unix@{settings.relay_socket}",
        ],
    )
    inner = _section(
        "frontend relay_inner from base",
        [
            f"bind unix@{settings.relay_socket} mode 600",
            "log global",
            "option log-separate-errors",
            "http-request set-log-level err",
            "unique-id-format %[var(txn.uid)]",
            f"log-format '{END_FORMAT}'",
            f"error-log-format '{BROKEN_FORMAT}'",
            *relay_rules(settings),
        ],
    )
    return "\n".join([outer, inner])


def _tables() -> str:
    limits = "stick-table type string len 128 size 100k expire 30s store gpc0,gpc0_rate(10s),conn_cur"
    # Entries of calls that are under way never expire.
    calls = "stick-table type string len 192 size 100k expire 1s store conn_cur"
    tables = (("key_limits", limits), ("function_limits", limits), ("open_calls", calls))
    return "\n".join(_section(f"backend {name} from base", [table]) for name, table in tables)


def render_config(settings: GatewaySettings) -> str:
    """Return the static configuration; slots follow in a file of their own."""
    return "\n".join(
        [
            _global(settings),
            _both_defaults(settings),
            _console(settings),
            _functions(settings),
            _relay(settings),
            _tables(),
        ]
    )


def render_slots(settings: GatewaySettings, slots: int, servers: Mapping[int, SlotServer]) -> str:
    """Return the slots with the servers that stand in them, so that a restart finds them."""
    lines = [
        "defaults slot from base",
        *(f"    {rule}" for rule in slot_rules(settings.longest_queue)),
        "",
    ]
    for number in range(slots):
        lines.append(f"backend s{number} from slot")
        server = servers.get(number)
        if server is not None:
            lines.append(f"    server {server.target} {server_words(server)}")
    return "\n".join([*lines, ""])


def server_words(server: SlotServer) -> str:
    """Return a server's address and options, the same in the file and on the socket."""
    address = f"unix@{server.socket}" if server.socket.startswith("/") else server.socket
    return f"{address} maxconn {server.maxconn}"
