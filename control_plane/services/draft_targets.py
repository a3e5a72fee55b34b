"""What a draft or an unreleased version runs as when somebody tries it: never with a live value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from control_plane.domain.desired import HostTarget, Limits
from control_plane.domain.functions import Declaration, Function
from control_plane.domain.values import Bound, Stage, Value, bind

__all__ = ["bind_test_values", "tried_target"]


def bind_test_values(declaration: Declaration, values: Iterable[Value]) -> Bound:
    """Bind the declared names to test values alone. Raises MissingValues with the exact list."""
    return bind(declaration, (value for value in values if value.stage is Stage.TEST))


def tried_target(
    identifier: str,
    version: str,
    function: Function,
    code: tuple[str, Declaration, Mapping[str, str]],
    values: tuple[Bound, Mapping[str, Value]],
    *,
    instances: int = 1,
) -> HostTarget:
    """Return the target of a (digest, declaration, layers) with values bound by `bind_test_values`."""
    digest, declaration, layers = code
    bound, known = values
    limits: Limits = replace(declaration.limits, instances=min(instances, declaration.limits.instances))
    return HostTarget(
        id=identifier,
        organization=function.organization,
        project=function.project,
        function=function.id,
        function_name=function.name,
        version=version,
        number=0,
        digest=digest,
        runtime=declaration.runtime,
        kind=declaration.kind,
        handler=declaration.handler,
        layers=layers,
        input_schema=declaration.input_schema,
        output_schema=declaration.output_schema,
        limits=limits,
        settings={name: known[value].content for name, value in bound.settings.items()},
        secrets={name: known[value].content for name, value in bound.secrets.items()},
        streaming=declaration.streaming,
        warm=False,
        volatile=True,
    )
