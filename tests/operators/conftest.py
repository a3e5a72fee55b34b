"""The operator's stage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.operators.stage import Stage
from tests.support.fake_api_server import FakeApiServer


@pytest.fixture
def stage() -> Iterator[Stage]:
    with FakeApiServer() as api:
        made = Stage(api)
        yield made
        made.cluster.close()
