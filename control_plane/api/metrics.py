"""Counts requests and their durations by route, in Prometheus' text format.

Labels are route patterns, never addresses, so no tenant's name or id is shown
and the number of series is bounded.
"""

from __future__ import annotations

import time
from typing import Final

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

__all__ = ["Metrics", "install_metrics"]

_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The series of one app, in a registry of its own so that two apps never collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "ingot_http_requests",
            "Requests by method, route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.durations = Histogram(
            "ingot_http_request_duration_seconds",
            "Time from the request's arrival in the application to its answer.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def render(self) -> Response:
        """Return the exposition."""
        return Response(generate_latest(self.registry), content_type=CONTENT_TYPE_LATEST)


def install_metrics(app: Flask, metrics: Metrics) -> None:
    """Observe every request of `app`."""

    def start() -> None:
        g.started = time.perf_counter()

    def observe(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule is not None else "unmatched"
        # A method is the caller's text; only the known ones may become a label.
        method = request.method if request.method in _METHODS else "OTHER"
        metrics.requests.labels(method, route, str(response.status_code)).inc()
        started = g.get("started")
        if started is not None:
            metrics.durations.labels(method, route).observe(time.perf_counter() - started)
        return response

    app.before_request(start)
    app.after_request(observe)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
