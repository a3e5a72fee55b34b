"""What a scraper is told, in Prometheus' text format: the API's requests, functions' calls, the machine.

Labels are route patterns and ids, never addresses or names from outside. A
scraper sees the functions of its token's organization only, those that were
called within a day, and at most 500 versions, so the number of series is bounded.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.multiprocess import MultiProcessCollector

from control_plane.domain.series import BUCKETS_MS
from control_plane.services.monitor import Scraped

__all__ = ["Metrics", "install_metrics"]

# The meter reads them too.
_BUCKETS: Final = tuple(bound / 1_000 for bound in BUCKETS_MS)
_Scrape = tuple[Sequence[Scraped], Sequence[Any], Mapping[str, float | None]]
# Reading -> (name of the series, help); shown to those who watch the whole system.
_MACHINE: Final = {
    "connections": ("ingot_gateway_sessions", "Open connections at the gateway."),
    "queued": ("ingot_gateway_queued_calls", "Calls that wait for a free instance."),
    "instances": ("ingot_instances", "Instances of all organizations."),
    "lag_lines": ("ingot_meter_lag_lines", "Lines of the access log that are not counted yet."),
    "lease_s": ("ingot_meter_lease_seconds", "For how long the gateway may still answer calls."),
    "cpu_percent": ("ingot_machine_cpu_percent", "Use of all processors."),
    "memory_used_mb": ("ingot_machine_memory_used_megabytes", "Memory in use."),
    "disk_used_mb": ("ingot_machine_disk_used_megabytes", "Disk in use below the data folder."),
}


class Metrics:
    """The series of one app, in a registry of its own so that two apps never collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Collectors over what others count; asked anew at each scrape.
        self.beside: list[Any] = []
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

    def render(self, scrape: _Scrape) -> Response:
        """Return the exposition: the api's own series over all its processes, then what was counted."""
        counted = CollectorRegistry()
        for one in (_Counted(scrape), *self.beside):
            counted.register(one)
        body = generate_latest(self._own()) + generate_latest(counted)
        return Response(body, content_type=CONTENT_TYPE_LATEST)

    def _own(self) -> CollectorRegistry:
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return self.registry
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return together


class _Counted:
    """A collector over what the monitor knows at one moment."""

    def __init__(self, scrape: _Scrape) -> None:
        self._scrape = scrape

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        versions, running, machine = self._scrape
        labels = ["function", "version"]
        calls = CounterMetricFamily("ingot_function_calls", "Calls.", labels=labels)
        errors = CounterMetricFamily(
            "ingot_function_errors", "Calls that did not go well, by who must act.", labels=[*labels, "fault"]
        )
        cold = CounterMetricFamily(
            "ingot_function_cold_starts", "Calls that waited for a start.", labels=labels
        )
        durations = HistogramMetricFamily(
            "ingot_function_duration_seconds", "Time that instances worked on calls.", labels=labels
        )
        for one in versions:
            key = [one.function, one.version]
            calls.add_metric(key, one.calls)
            cold.add_metric(key, one.cold_starts)
            for fault, count in one.faults.items():
                errors.add_metric([*key, fault], count)
            durations.add_metric(key, _cumulative(one.buckets), one.duration_ms / 1_000)
        instances = GaugeMetricFamily(
            "ingot_function_instances", "Running instances within the last two minutes.", labels=labels
        )
        for function, version, count in running:
            instances.add_metric([function, version], count)
        yield from (calls, errors, cold, durations, instances)
        for reading, (name, text) in _MACHINE.items():
            value = machine.get(reading)
            if value is not None:
                yield GaugeMetricFamily(name, text, value=value)


def _cumulative(buckets: Sequence[int]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    total = 0
    bounds = [*(str(bound / 1_000) for bound in BUCKETS_MS), "+Inf"]
    for bound, count in zip(bounds, buckets, strict=True):
        total += count
        found.append((bound, float(total)))
    return found


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
