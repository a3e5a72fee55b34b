"""`ingot why`: one call on one screen, from the gateway's queue to who approved the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import click

from control_plane.cli.output import note, show_one
from control_plane.cli.records import plain, record_lines
from control_plane.cli.state import CliState, pass_state

__all__ = ["story_lines", "why"]

_WIDTH: Final = 40


@click.command()
@click.argument("request_id")
@click.option("--no-logs", is_flag=True, help="Leave the log records out.")
@pass_state
def why(state: CliState, request_id: str, no_logs: bool) -> None:
    """Explain the call with REQUEST_ID (X-Request-Id or X-Ingot-Usage-Id of its answer)."""
    with state.client() as client:
        found = client.get(f"/why/{quote(request_id, safe='')}")
    if state.output == "json":
        show_one(state, found)
        return
    calls = found["calls"]
    if len(calls) > 1:
        note(f"{len(calls)} calls carry this request id, oldest first.")
    for number, story in enumerate(calls):
        if number:
            click.echo()
        for line in story_lines(story, logs=not no_logs):
            click.echo(line)


def story_lines(story: Mapping[str, Any], *, logs: bool = True) -> Iterator[str]:
    """Yield one call's screen."""
    call = story["call"]
    for label, value in _facts(story):
        if value:
            yield f"{click.style(label.ljust(9), bold=True)} {plain(value)}"
    if story["waterfall"]:
        yield from _waterfall(story["waterfall"])
    yield f"{click.style('usage'.ljust(9), bold=True)} {plain(_usage(call))}"
    if logs and story["logs"]:
        yield click.style("log", bold=True)
        for record in story["logs"]:
            for line in record_lines(record):
                yield f"  {line}"
    if story["hidden"]:
        yield f"With {', '.join(story['hidden'])} you would see more."


def _facts(story: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    call = story["call"]
    blamed = "" if call["fault"] == "nobody" else f", the {call['fault']}'s fault"
    exits = f", instance {call['exit_reason']}" if call["exit_reason"] else ""
    refusal = f" {call['refusal']}" if call["refusal"] else ""
    yield "call", f"{call['method']} at {call['accepted_at']}, {call['mode']}, id {call['id']}"
    yield "outcome", f"{call['outcome']}{blamed}: status {call['status']}{refusal}{exits}"
    if story["explained"]:
        yield "why", story["explained"]["rule"]
        yield "to do", story["explained"]["action"]
    yield "route", _route(story)
    yield "key", " ".join(part for part in (story["key_name"], call["api_key"]) if part)
    yield "approval", _approval(story)
    yield "trace", call["trace_id"]
    if call["request_id"] != call["id"]:
        yield "request", call["request_id"]


def _route(story: Mapping[str, Any]) -> str:
    if not story["route"]:
        return ""
    pieces = [story["route"]]
    if story["version_number"]:
        pieces.append(f"version {story['version_number']} ({story['digest'][:19]}…)")
    if story["release_number"]:
        pieces.append(f"release {story['release_number']}")
    if story["instance"]:
        pieces.append(f"instance {story['instance']}")
    return ", ".join(pieces)


def _approval(story: Mapping[str, Any]) -> str:
    if story["approvals"]:
        return ", ".join(f"{one['email']} at {one['at']} ({one['review']})" for one in story["approvals"])
    if not story["version_number"] or "review:read" in story["hidden"]:
        return ""
    return "unreviewed: the policy asked for none" if story["unreviewed"] else "none of this digest"


def _waterfall(parts: list[Mapping[str, Any]]) -> Iterator[str]:
    end = max(part["start_ms"] + part["duration_ms"] for part in parts)
    scale = _WIDTH / max(end, 1)
    for part in parts:
        begin = min(int(part["start_ms"] * scale), _WIDTH - 1)
        length = min(max(round(part["duration_ms"] * scale), 1), _WIDTH - begin)
        bar = " " * begin + "█" * length
        told = f"  {part['note']}" if part["note"] else ""
        yield f"  {part['name']:<10} {part['duration_ms']:>7} ms  {bar:<{_WIDTH}}{plain(told)}"
    yield f"  {'total':<10} {end:>7} ms"


def _usage(call: Mapping[str, Any]) -> str:
    billed = f"billed {call['billed_ms']} ms × {call['memory_mb']} MB" if call["billed_ms"] else "not billed"
    stream = f", stream {call['stream']}" if call["stream"] else ""
    return f"{billed}, {call['bytes_in']} bytes in, {call['bytes_out']} bytes out{stream}"
