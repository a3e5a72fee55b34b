"""What the meter turns over: its database, the two logs it reads, the gateway's lease and the samples."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from control_plane.adapters.embedded.api_durations import ApiDurations
from control_plane.adapters.embedded.clock import SystemClock
from control_plane.adapters.embedded.host_telemetry import HostTelemetry
from control_plane.adapters.embedded.machine_readings import MachineReadings
from control_plane.adapters.embedded.runtime import EmbeddedRuntime
from control_plane.adapters.gateway.lease import renew_lease
from control_plane.adapters.gateway.statistics import GatewayStatistics
from control_plane.bootstrap.databases import usage_engine
from control_plane.bootstrap.gateway import make_gateway_settings
from control_plane.bootstrap.traces import make_spans
from control_plane.domain.retention import DAY_MS
from control_plane.meter.cycle import Cycle
from control_plane.meter.follower import LogFollower
from control_plane.meter.lease import LeaseKeeper, LeaseLimits
from control_plane.meter.sampler import Sampler
from control_plane.meter.traces import CallTraces
from control_plane.ports import Clock, Telemetry
from control_plane.settings import Settings, settings_from_document
from control_plane.store.usage_intake import ACCESS_LOG, HOST_RECORDS, Intake, source_of
from control_plane.store.usage_ledger import UsageLedger
from control_plane.store.usage_migrations import migrate_usage
from control_plane.store.usage_retention import UsageRetention
from control_plane.store.usage_series import SeriesLedger

__all__ = ["Meter", "build_meter"]

_CACHE_MB = 64


@dataclass(frozen=True, slots=True)
class Meter:
    """What the meter turns over."""

    cycle: Cycle
    ledger: UsageLedger
    lease: LeaseKeeper
    sampler: Sampler
    series: SeriesLedger
    # How long sums by minute and samples are kept.
    series_ms: int
    clock: Clock
    # Folders whose disks must have room.
    folders: tuple[Path, ...]
    # Removes a batch of the calls that are over at that time; returns how many.
    remove_old: Callable[[int], int]
    # Of several gateways one meter alone looks after what is over, and takes the machine's samples.
    keeps_house: bool


@contextlib.contextmanager
def build_meter(document: Mapping[str, Any], report: Callable[[str, list[str]], None]) -> Iterator[Meter]:
    """Yield the meter's parts; `report` is told when the lease is lost, why, and when it is back."""
    settings = settings_from_document(json.dumps(document))
    engine = usage_engine(settings, cache_mb=_CACHE_MB)
    clock = SystemClock()
    with contextlib.ExitStack() as stack:
        stack.callback(engine.dispose)
        replica = settings.gateway.replica
        if not replica:
            migrate_usage(engine)
        ledger = UsageLedger(engine)
        access = LogFollower(source_of(ACCESS_LOG, replica), settings.data / "gateway" / "access.log", None)
        stack.callback(access.close)
        host = LogFollower(source_of(HOST_RECORDS, replica), settings.data / "host" / "records.log", None)
        stack.callback(host.close)
        spans = make_spans(settings, "meter")
        stored: Callable[[Intake], None] = _no_traces
        if spans:
            stack.callback(spans.close)
            stored = CallTraces(spans.offer).observe
        cycle = Cycle(ledger, access, host, clock, stored)
        yield Meter(
            cycle,
            ledger,
            _lease(settings, clock, report),
            _sampler(settings, clock, report),
            SeriesLedger(engine),
            settings.metering.series_days * 86_400_000,
            clock,
            _folders(settings),
            _remover(settings, engine),
            keeps_house=not replica,
        )


def _no_traces(_intake: Intake) -> None:
    """Make no spans, as nobody asked for them."""


def _lease(settings: Settings, clock: Clock, report: Callable[[str, list[str]], None]) -> LeaseKeeper:
    # The meter only writes the lease's map; whose group the gateway's sockets have is no matter here.
    gateway = make_gateway_settings(settings, {})
    wanted = settings.metering
    limits = LeaseLimits(wanted.lease_s, wanted.max_lag_lines, wanted.min_free_mb * 2**20)
    return LeaseKeeper(lambda until: renew_lease(gateway, until), limits, clock, report)


def _sampler(settings: Settings, clock: Clock, report: Callable[[str, list[str]], None]) -> Sampler:
    runtime = EmbeddedRuntime(settings.data / "host", settings.run)
    telemetry: dict[str, Telemetry] = {"host": HostTelemetry(runtime.status)}
    if settings.cluster.kubeconfig and settings.cluster.prometheus:
        telemetry["cluster"] = _cluster_telemetry(settings, clock)
    numbers: dict[str, Callable[[], Mapping[str, float]]] = {
        "machine": MachineReadings(settings.data),
        "gateway": GatewayStatistics(make_gateway_settings(settings, {})),
        "API's durations": ApiDurations(settings.run / "api-metrics"),
    }
    return Sampler(clock, numbers, telemetry, lambda what, why: report(what, [why] if why else []))


def _cluster_telemetry(settings: Settings, clock: Clock) -> Telemetry:
    # Its client takes half a second to load, which one machine has no use for.
    from control_plane.adapters.cluster.prometheus import PrometheusTelemetry
    from control_plane.bootstrap.cluster import make_cluster
    from operators.kinds import FUNCTION

    cluster = make_cluster(settings)
    return PrometheusTelemetry(settings.cluster.prometheus, lambda: cluster.list(FUNCTION), clock)


def _remover(settings: Settings, engine: Engine) -> Callable[[int], int]:
    usage, kept = UsageRetention(engine), settings.retention

    def remove(now_ms: int) -> int:
        return usage.remove(now_ms - kept.usage_days * DAY_MS, kept.batch) if kept.usage_days else 0

    return remove


def _folders(settings: Settings) -> tuple[Path, ...]:
    """Return the log's folder, and the database's when it is a file."""
    folder = settings.data / "gateway"
    return (folder, settings.data / "db") if settings.usage_url.startswith("sqlite") else (folder,)
