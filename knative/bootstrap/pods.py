"""Says in sentences why pods do not run. Pure."""

from __future__ import annotations

from typing import Any

__all__ = ["waiting"]

_SHOWN = 300


def waiting(pods: list[dict[str, Any]]) -> list[str]:
    """Return a sentence for each pod that is not ready, with the reason nearest to the cause."""
    return [
        f"{pod['metadata']['name']}: {_reason(pod.get('status', {}))[:_SHOWN]}"
        for pod in pods
        if not _is_ready(pod.get("status", {}))
    ]


def _is_ready(status: dict[str, Any]) -> bool:
    return any(
        one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or []
    ) or (status.get("phase") == "Succeeded")


def _reason(status: dict[str, Any]) -> str:
    for container in status.get("containerStatuses") or []:
        state = container.get("state", {})
        # A crash says more than the wait for the next try.
        ended = (
            state.get("terminated")
            or container.get("lastState", {}).get("terminated")
            or state.get("waiting")
        )
        if ended and not container.get("ready"):
            code = f" with code {ended['exitCode']}" if "exitCode" in ended else ""
            return f"{ended.get('reason', 'not running')}{code} {ended.get('message', '')}".strip()
    for condition in status.get("conditions") or []:
        if condition["status"] != "True" and condition.get("message"):
            return f"{condition.get('reason', condition['type'])} {condition['message']}"
    return str(status.get("phase", "unknown"))
