"""A fresh gateway for each test, or one shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.harness import World, a_world


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway of the test's own, started, with nothing applied."""
    with a_world(tmp_path_factory.mktemp("g"), queue_timeout_ms=1_000, request_timeout_ms=1_000) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One started gateway for a whole module; its tests leave no state behind that others see."""
    folder: Path = tmp_path_factory.mktemp("g")
    with a_world(folder, queue_timeout_ms=1_000, request_timeout_ms=1_000) as made:
        made.start()
        yield made
