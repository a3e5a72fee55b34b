"""What `ingot release` commands have in common: guards as options, shares as words, waiting, and showing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.output import progress, show_one
from control_plane.cli.state import CliState

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = [
    "guard_of",
    "guard_options",
    "parts_of",
    "seen_headers",
    "show_release",
    "traffic_of",
    "wait_live",
    "wait_options",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SHARE: Final = re.compile(r"(\d{1,9})=(\d{1,3})(?:@([a-z0-9-]{1,40}))?")
_FIELDS: Final = (
    "number",
    "state",
    "traffic",
    "digest",
    "unreviewed",
    "rollback_of",
    "note",
    "created_by_name",
    "guarded",
    "conditions",
    "created_at",
)


def wait_options(command: _Command) -> _Command:
    """Add --wait and --timeout."""
    for option in (
        click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds to wait."),
        click.option("--wait/--no-wait", default=True, help="Wait until calls reach it."),
    ):
        command = option(command)
    return command


def guard_options(command: _Command) -> _Command:
    """Add the options that make a guard."""
    for option in (
        click.option("--step-minutes", type=click.FloatRange(0, 10_080), help="Health before each step."),
        click.option("--steps", help="Percentages that it grows to by itself, such as 50,100."),
        click.option(
            "--watch", "watch_minutes", type=click.FloatRange(1, 43_200), help="Minutes; default 60."
        ),
        click.option("--window", "window_s", type=click.IntRange(5, 3600), help="Seconds; default 60."),
        click.option(
            "--min-calls", type=click.IntRange(1, 100_000), help="Fewer decide nothing; default 20."
        ),
        click.option("--max-p95", "p95_ms", type=click.IntRange(1, 3_600_000), help="Guard: milliseconds."),
        click.option("--max-errors", type=click.FloatRange(0, 100), help="Guard: percent of its calls."),
    ):
        command = option(command)
    return command


def guard_of(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the guard that the options make, or None when none is given."""
    steps = [int(step) for step in re.findall(r"\d+", options["steps"] or "")]
    minutes = options["step_minutes"]
    guard = {
        "error_percent": options["max_errors"],
        "p95_ms": options["p95_ms"],
        "min_calls": options["min_calls"],
        "window_s": options["window_s"],
        "watch_s": options["watch_minutes"] and int(options["watch_minutes"] * 60),
        "steps": steps or None,
        # A step without a time would be no test of health.
        "step_s": int((minutes or 10) * 60) if steps or minutes else None,
    }
    given = {name: value for name, value in guard.items() if value is not None}
    return given or None


def parts_of(shares: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the parts that words such as 2=10@canary mean."""
    parts = []
    for share in shares:
        found = _SHARE.fullmatch(share)
        if found is None:
            raise Failure(
                f"“{share}” is not a share.",
                hint="Write VERSION=PERCENT or VERSION=PERCENT@TAG, as 2=10@canary.",
                exit_code=ExitCode.USAGE,
            )
        parts.append({"version": int(found[1]), "percent": int(found[2]), "tag": found[3] or ""})
    return parts


def seen_headers(client: Client, path: str, seen: str | None) -> dict[str, str]:
    """Return If-Match with the traffic that was seen: the given ETag, else the one of this moment."""
    etag = seen or client.send("GET", f"{path}/status").headers["ETag"].strip('"')
    return {"If-Match": f'"{etag}"'}


def show_release(state: CliState, found: dict[str, Any]) -> None:
    """Print a release; the table says traffic, guard and conditions in words."""
    if state.output == "json":
        show_one(state, found)
        return
    words = [
        f"{one['type']}: {one['message']}"
        for one in found["conditions"]
        if one["status"] or one["type"] == "Guarded"
    ]
    guard = found["guard"] or {}
    limits = [
        f"{guard['error_percent']:g} % errors" if guard.get("error_percent") else "",
        f"p95 {guard['p95_ms']} ms" if guard.get("p95_ms") else "",
        f"back to release {guard['back_to']}" if guard.get("back_to") else "",
    ]
    told = {
        "traffic": traffic_of(found),
        # 0 says that it is none.
        "rollback_of": found["rollback_of"] or None,
        "guarded": ", ".join(limit for limit in limits if limit),
        "conditions": " ".join(words),
    }
    show_one(state, {**found, **told}, _FIELDS)


def traffic_of(found: Mapping[str, Any]) -> str:
    """Return who receives how much, in words."""
    return ", ".join(
        f"version {part['number']} {part['percent']} %" + (f" (@{part['tag']})" if part["tag"] else "")
        for part in found["parts"]
    )


def wait_live(client: Client, path: str, timeout_s: float) -> dict[str, Any]:
    """Return the release once it is decided; a failed one ends the command with its reason."""
    deadline = time.monotonic() + timeout_s
    with progress("Releasing"):
        while True:
            found: dict[str, Any] = client.get(path)
            if found["state"] != "pending":
                break
            if time.monotonic() >= deadline:
                raise Failure(
                    f"Release {found['number']} is still pending after {timeout_s:.0f} s.",
                    hint="`ingot release status` shows what it waits for; it goes on by itself.",
                    exit_code=ExitCode.UNAVAILABLE,
                )
            time.sleep(0.1)
    if found["state"] == "failed":
        reasons = [item for item in found["conditions"] if item["type"] == "Failed"]
        why = "; ".join(f"{item['reason']}: {item['message']}" for item in reasons)
        raise Failure(
            f"Release {found['number']} failed: {why or 'no reason is known'}.",
            hint="The versions before it go on serving. `ingot logs` may show more.",
        )
    return found
