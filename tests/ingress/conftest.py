"""A fresh ingress for each test that wants its own, and one shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ingress.harness import World, a_world, started


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An ingress of the test's own, started, with nothing applied."""
    with a_world(tmp_path_factory.mktemp("i")) as made:
        yield started(made)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One started ingress for a whole module; each test applies what it needs."""
    with a_world(tmp_path_factory.mktemp("i")) as made:
        yield started(made)
