"""The application keeps what its own description says: every operation, a few seeded requests each.

`tests/e2e/test_schemathesis.py` tries the running system with more of them, and in chains.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.api.route_recipes import fill
from tests.e2e import schemathesis_hooks
from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople

# What ends the credential that the rest is tried with, and what another process serves.
LEFT_OUT = ("/api/v1/tokens/{token}", "/api/v1/stream", "/api/v1/stream/functions/{function}/test-runs/{run}")
ONE = settings(
    max_examples=2,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_every_operation_answers_as_described(api: ApiWorld, people: ApiPeople) -> None:
    fill(api, people)
    config = schemathesis.Config.from_path(schemathesis_hooks.CONFIG)
    schema: Any = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", api.app, config=config)
    token = api.world.tokens.create(people.owner, name="tried").text
    headers = {"Authorization": f"Bearer {token}"}
    answers: Counter[int] = Counter()
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in LEFT_OUT:
            continue
        tried += 1

        @seed(1)
        @ONE
        @given(case=operation.as_strategy())
        def keeps(case: Any) -> None:
            answer = case.call_and_validate(headers=headers)
            answers[answer.status_code] += 1

        keeps()
    assert tried > 140
    assert sum(count for status, count in answers.items() if status < 300) > 40, answers
