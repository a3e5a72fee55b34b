"""Asks parts whether they are ready, and waits for it with a limit."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from urllib.parse import urlsplit

from knative.bootstrap.commands import succeeds
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.part import Part, Probe
from knative.bootstrap.plan import Plan
from knative.bootstrap.processes import log_file, main_process, tail

__all__ = ["is_ready", "wait_until_ready"]

_TIMEOUT = 2.0
# 401: a server that asks who calls is up.
_UP = frozenset({200, 401})


def is_ready(probe: Probe) -> bool:
    """Ask once."""
    if probe.kind == "command":
        return succeeds(probe.target, timeout=_TIMEOUT + 3)
    try:
        if probe.kind == "socket":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(_TIMEOUT)
                client.connect(str(probe.target))
            return True
        return _http_status(probe) in _UP
    except (OSError, http.client.HTTPException):
        return False


def wait_until_ready(plan: Plan, part: Part, seconds: float = 60.0) -> None:
    """Wait for a part. Raises ClusterError, with the end of its log, when it ends or takes too long."""
    until = time.monotonic() + seconds
    while not is_ready(part.ready):
        ended = main_process(plan, part.name) is None
        if ended or time.monotonic() > until:
            what = "ended" if ended else f"is not ready after {seconds:.0f} s"
            raise ClusterError(
                f"{part.name} {what}: {tail(plan, part.name) or 'its log is empty'}",
                hint=f"Its whole log is {log_file(plan, part.name)}.",
            )
        time.sleep(0.05)


def _http_status(probe: Probe) -> int:
    address = urlsplit(str(probe.target))
    connection: http.client.HTTPConnection
    if address.scheme == "https":
        connection = http.client.HTTPSConnection(address.netloc, timeout=_TIMEOUT, context=_tls(probe))
    else:
        connection = http.client.HTTPConnection(address.netloc, timeout=_TIMEOUT)
    try:
        connection.request("GET", address.path)
        return connection.getresponse().status
    finally:
        connection.close()


def _tls(probe: Probe) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=probe.authority)
    if probe.authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if probe.client is not None:
        context.load_cert_chain(*probe.client)
    return context
