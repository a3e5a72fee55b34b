"""Makes the Knative Triggers of a function."""

from __future__ import annotations

from typing import Any

from operators.resources import names
from operators.resources.common import marked, metadata
from operators.resources.model import Function, Trigger

__all__ = ["make_trigger"]


def make_trigger(function: Function, trigger: Trigger) -> dict[str, Any]:
    """Return the Trigger that sends a broker's events to the function; its traffic shares apply."""
    delivery: dict[str, Any] = {
        "retry": trigger.retries,
        "backoffPolicy": "exponential",
        "backoffDelay": "PT0.5S",
    }
    if trigger.dead_letter:
        delivery["deadLetterSink"] = {"uri": trigger.dead_letter}
    spec: dict[str, Any] = {
        "broker": trigger.broker,
        "subscriber": {
            "ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": function.name}
        },
        "delivery": delivery,
    }
    if trigger.attributes:
        spec["filters"] = [{"exact": dict(sorted(trigger.attributes.items()))}]
    return marked(
        {
            "apiVersion": "eventing.knative.dev/v1",
            "kind": "Trigger",
            "metadata": metadata(function, names.trigger(function.name, trigger.name)),
            "spec": spec,
        }
    )
