"""Fixtures of the meter's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres import running_postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Return the URL of a PostgreSQL that lives as long as the session."""
    with running_postgres() as url:
        yield url
