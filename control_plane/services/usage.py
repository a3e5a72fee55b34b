"""Usage as people ask for it: totals, exports, and whether all the counts agree.

Who may see a project is decided before; what a call counts as, by the domain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from control_plane.domain.metering import DAY_MS, FAULT_OF, HOUR_MS, Outcome
from control_plane.errors import Invalid
from control_plane.store.usage_queries import UsageReader

__all__ = ["GROUPS", "Difference", "Reconciliation", "Total", "Usage"]

# What totals may be split by -> the column behind it.
GROUPS: Final = {
    "function": "function",
    "version": "version",
    "key": "api_key",
    "outcome": "outcome",
    "day": "day",
    "hour": "hour_ms",
}
_LONGEST_SPAN_MS: Final = 400 * 24 * HOUR_MS


@dataclass(slots=True)
class Total:
    """The sums of one group. A day or an hour is named by its first Unix millisecond, UTC."""

    group: str
    calls: int = 0
    billed_calls: int = 0
    cold_calls: int = 0
    billed_ms: int = 0
    # Memory limit in MB times billed milliseconds; 1 GB-ms is 1024 of them.
    memory_mb_ms: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    # Calls by outcome, and by who must act.
    outcomes: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two counts that should agree and do not. `explained` ones need no action."""

    what: str
    subject: str
    counts: Mapping[str, int]
    reason: str
    explained: bool = False


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The counts of gateway, usage and host side by side."""

    start_ms: int
    end_ms: int
    counts: Mapping[str, int]
    differences: tuple[Difference, ...]

    @property
    def agrees(self) -> bool:
        """Say whether nothing is left unexplained."""
        return all(each.explained for each in self.differences)


class Usage:
    """Questions about usage."""

    def __init__(self, reader: UsageReader) -> None:
        self._reader = reader

    def of(self, organization: str) -> Usage:
        """Return the same questions, to whose answers other organizations' rows cannot add."""
        return Usage(self._reader.of(organization))

    def totals(
        self,
        project: str,
        span: tuple[int, int],
        group_by: str = "function",
        *,
        function: str = "",
        key: str = "",
    ) -> list[Total]:
        """Return a project's sums over the hours that touch [start, end), of one function or key if named."""
        if group_by not in GROUPS:
            raise Invalid(
                f"Usage cannot be grouped by “{group_by[:40]}”.",
                field="group_by",
                hint=f"Use one of {', '.join(GROUPS)}.",
            )
        wanted = {"function": function, "api_key": key}
        only = {name: value for name, value in wanted.items() if value}
        totals: dict[str, Total] = {}
        for row in self._reader.totals(project, _hours(*span), GROUPS[group_by], only):
            total = totals.setdefault(str(row[0]), Total(str(row[0])))
            _add(total, Outcome(row[1]), [int(value) for value in row[2:]])
        return list(totals.values())

    def export(
        self, projects: Collection[str], start_ms: int, end_ms: int, unit_ms: int
    ) -> Iterator[tuple[int, Sequence[Any]]]:
        """Yield (hour or day, (project, function, version, key, outcome, sums…)), oldest first.

        Read day by day, so that a year of it takes the memory of a day. Raises
        Invalid before anything is read, as a download that began cannot say so.
        """
        return self._export(projects, _hours(start_ms, end_ms), unit_ms)

    def _export(
        self, projects: Collection[str], hours: tuple[int, int], unit_ms: int
    ) -> Iterator[tuple[int, Sequence[Any]]]:
        start, end = hours
        for day in range(start // DAY_MS * DAY_MS, end, DAY_MS):
            span = (max(day, start), min(day + DAY_MS, end))
            for row in self._reader.finest(projects, span, unit_ms):
                yield int(row[0]), tuple(row[1:])

    def last_used(self, keys: Sequence[str]) -> dict[str, int]:
        """Return, for each of at most 100 API keys that ever called, the hour in which it last did."""
        return self._reader.last_used(keys)

    def reconcile(self, start_ms: int, end_ms: int) -> Reconciliation:
        """Compare what the gateway logged, what was counted and what the host served, by whole hours."""
        span = _hours(start_ms, end_ms)
        if span[0] < self._reader.kept_from():
            raise Invalid(
                "Calls of these hours are no longer kept one by one; only their sums are.",
                hint="Reconcile later hours, or raise retention.usage_days before they go.",
            )
        counts = self._reader.counted(span)
        differences = (*_count_differences(counts), *self._host_differences(span))
        return Reconciliation(span[0], span[1], counts, differences)

    def _host_differences(self, span: tuple[int, int]) -> Iterator[Difference]:
        reached, served = self._reader.reached(span), self._reader.served(span)
        crossing = self._reader.crossing(span)
        for target in sorted(reached.keys() | served.keys()):
            sent, broken = reached.get(target, (0, 0))
            done = served.get(target, 0)
            # A call that broke off with its instance may or may not be in the instance's own count.
            if sent - broken <= done <= sent:
                continue
            counts = {"reached": sent, "broken": broken, "served": done}
            if target in crossing:
                reason = "An instance lives, or lived, beyond these hours; its count comes with its exit."
            elif done > sent:
                reason = "The host served calls that the gateway did not log."
            else:
                reason = "The gateway sent calls that no ended instance served, or an exit record is missing."
            yield Difference("host", target, counts, reason, explained=target in crossing)


def _count_differences(counts: Mapping[str, int]) -> Iterator[Difference]:
    logged = {name: counts[name] for name in ("records", "repeated", "events")}
    if counts["records"] - counts["repeated"] != counts["events"]:
        yield Difference("events", "", logged, "Calls in the log and calls in usage differ.")
    if counts["events"] != counts["summed"]:
        sums = {name: counts[name] for name in ("events", "summed")}
        yield Difference("sums", "", sums, "The hourly sums are not those of the events; rebuild them.")
    for name, reason, explained in (
        ("repeated", "Records were read twice and counted once.", True),
        ("rejects", "Parts of the log are no records; see log_rejects for where.", False),
        ("open_streams", "Streams are still open and billed when they end.", True),
        ("lost_streams", "Streams ended without a record and are billed as far as known.", True),
        ("ends_without_call", "Ends of streams wait for their access record.", False),
    ):
        if counts[name]:
            yield Difference(name, "", {name: counts[name]}, reason, explained)


def _hours(start_ms: int, end_ms: int) -> tuple[int, int]:
    if not 0 <= start_ms < end_ms:
        raise Invalid("The time span is empty.", field="from", hint="Let “from” lie before “to”.")
    if end_ms - start_ms > _LONGEST_SPAN_MS:
        raise Invalid("The time span is longer than 400 days.", field="to", hint="Ask for less at once.")
    return start_ms // HOUR_MS * HOUR_MS, -(-end_ms // HOUR_MS) * HOUR_MS


def _add(total: Total, outcome: Outcome, sums: list[int]) -> None:
    total.calls += sums[0]
    total.billed_calls += sums[1]
    total.cold_calls += sums[2]
    total.billed_ms += sums[3]
    total.memory_mb_ms += sums[4]
    total.bytes_in += sums[5]
    total.bytes_out += sums[6]
    fault = FAULT_OF[outcome].value
    total.outcomes[outcome.value] = total.outcomes.get(outcome.value, 0) + sums[0]
    total.faults[fault] = total.faults.get(fault, 0) + sums[0]
