"""How many statements the routes that people use all day send: a change that adds one says so here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from sqlalchemy import Engine, event

from tests.api.route_recipes import fill, parts
from tests.support.api import ApiWorld
from tests.support.api_fixtures import SHARED, ApiPeople

pytestmark = pytest.mark.skipif(SHARED, reason="PostgreSQL's row rules take statements of their own")

# Each begins with BEGIN, the credential, its user and their rights.
_COUNTS: Final = {
    "GET /me": 5,
    "GET /projects": 5,
    "GET /members": 8,
    "GET /functions?limit=50": 8,
    "GET /functions?project={project}&limit=20": 9,
    "GET /functions/{function}": 9,
    "GET /functions/{function}/draft": 7,
    "GET /functions/{function}/versions": 8,
    "GET /functions/{function}/versions/{number}": 8,
    "GET /functions/{function}/releases": 7,
    "GET /reviews": 7,
    "GET /events": 5,
    "GET /audit": 5,
    "GET /usage?days=7&project={project}": 9,
    "GET /invocations?function={function}": 8,
    "PUT /functions/{function}/draft/files/{path}": 17,
}


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Collect the statements of every engine meanwhile."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(" ".join(statement.split()))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_daily_routes_send_no_more_statements_than_they_need(api: ApiWorld, people: ApiPeople) -> None:
    filled = fill(api, people)
    # When its token was used last is written down once a minute, which is now.
    filled.owner.get("/me")
    found: dict[str, int] = {}
    sent: dict[str, list[str]] = {}
    for route in _COUNTS:
        method, path = route.split(" ")
        seen = filled.owner.get(filled.address("/functions/{function}/draft"))
        more = {"headers": {"If-Match": seen.headers["ETag"]}, **parts(b"x = 9\n")} if method == "PUT" else {}
        with _counted() as sent[route]:
            answer = filled.owner.send(method, filled.address(path), **more)
        assert answer.status_code == 200, answer.text
        found[route] = len(sent[route])
    assert found == _COUNTS, {route: sent[route] for route in found if found[route] != _COUNTS[route]}
