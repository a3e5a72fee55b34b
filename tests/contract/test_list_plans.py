"""Every list reads by an index: no plan looks through a table that grows, on either database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from control_plane.domain.access import Role
from control_plane.domain.credentials import CredentialKind
from control_plane.domain.files import FileState
from control_plane.domain.function_search import FunctionSearch, FunctionSort, FunctionState
from control_plane.domain.list_filters import (
    EventFilter,
    FileFilter,
    KeyFilter,
    KeyState,
    MemberFilter,
    types_under,
)
from control_plane.domain.reviews import ReviewState
from control_plane.domain.versions import VersionState
from control_plane.store.journal_rows import AuditFilter
from control_plane.store.review_rows import ReviewFilter
from control_plane.store.unit_of_work import Store, UnitOfWork
from tests.support.plans import plans_of, walks

_ORG, _PRJ, _FN = "org_1", ("prj_1",), "fn_1"

_LISTS: dict[str, Callable[[UnitOfWork], object]] = {
    "functions": lambda unit: unit.functions.list(_ORG, _PRJ, FunctionSearch(), after=None, limit=50),
    "functions, searched": lambda unit: unit.functions.list(
        _ORG, _PRJ, FunctionSearch(text="x", sort=FunctionSort.UPDATED), after=("fn_1", 5), limit=50
    ),
    "functions, live": lambda unit: unit.functions.list(
        _ORG, _PRJ, FunctionSearch(state=FunctionState.LIVE), after=("fn_1", 0), limit=50
    ),
    "functions by id": lambda unit: unit.functions.by_ids(_ORG, ["fn_1", "fn_2"]),
    "releases of a list of functions": lambda unit: unit.releases.live_of(_ORG, ["fn_1", "fn_2"]),
    "releases": lambda unit: unit.releases.list(_ORG, _FN, 50, 9),
    "versions": lambda unit: unit.versions.list(_ORG, _FN, before=9, limit=50),
    "versions, deprecated": lambda unit: unit.versions.list(_ORG, _FN, state=VersionState.DEPRECATED),
    "versions with a package": lambda unit: unit.packages.uses(
        _ORG, _PRJ, ("numpy", ""), before="ver_9", limit=50
    ),
    "versions with an exact package": lambda unit: unit.packages.uses(
        _ORG, _PRJ, ("numpy", "1.0"), before="", limit=50
    ),
    "test runs": lambda unit: unit.functions.test_runs(_ORG, _FN, 50, "run_9"),
    "reviews": lambda unit: unit.reviews.list(_ORG, _PRJ, ReviewFilter(), after="rev_9", limit=50),
    "reviews to decide": lambda unit: unit.reviews.list(
        _ORG, _PRJ, ReviewFilter(states=(ReviewState.SUBMITTED,)), after="", limit=200
    ),
    "reviews submitted": lambda unit: unit.reviews.list(
        _ORG, _PRJ, ReviewFilter(submitter="usr_1"), after="", limit=50
    ),
    "whether versions were reviewed": lambda unit: unit.reviews.reviewed(_ORG, ["ver_1", "ver_2"]),
    "events": lambda unit: unit.outbox.after(_ORG, 5, 50),
    "events of some types": lambda unit: unit.outbox.after(
        _ORG, 5, 50, EventFilter(types=types_under("review"), since_ms=5)
    ),
    "events of a thing": lambda unit: unit.outbox.after(_ORG, 5, 50, EventFilter(subject="rev_1")),
    "the newest event": lambda unit: unit.outbox.last_sequence(_ORG),
    "events without a place": lambda unit: unit.outbox.waiting(50),
    "audit": lambda unit: unit.audit.search(_ORG, AuditFilter(), 5, 50),
    "audit of an action": lambda unit: unit.audit.search(
        _ORG, AuditFilter(action="review.approve"), 0, 50, newest_first=True
    ),
    "audit of a time": lambda unit: unit.audit.search(_ORG, AuditFilter(start_ms=1, end_ms=2), 0, 50),
    "keys": lambda unit: unit.credentials.key_page(_ORG, "prj_1", "key_9", 50),
    "keys that may call a function": lambda unit: unit.credentials.keys_that_fit(
        (_ORG, "prj_1"), KeyFilter("sh", KeyState.ACTIVE, _FN), 5, "key_9", 50
    ),
    "files": lambda unit: unit.files.list(_ORG, "prj_1", "file_1", 50, FileFilter("re", FileState.STORED)),
    "sessions": lambda unit: unit.credentials.of_user("usr_1", CredentialKind.SESSION),
    "a token": lambda unit: unit.credentials.by_sha256("0"),
    "rights": lambda unit: unit.identity.rights(_ORG, "usr_1"),
    "members": lambda unit: unit.identity.members(_ORG, "usr_0", 50),
    "members, searched": lambda unit: unit.identity.members(
        _ORG, "usr_0", 50, MemberFilter(Role.VIEWER, "ann", disabled=True)
    ),
    "shares": lambda unit: unit.shares.own(_ORG, _PRJ, "", 50),
    "installations": lambda unit: unit.shares.installations(_ORG, _PRJ, "", 50),
    "market": lambda unit: unit.shares.search((_ORG, "everyone"), (), (), kind=None, after="", limit=50),
    "market, searched": lambda unit: unit.shares.search(
        (_ORG, "everyone"), ("hel",), ("demo",), kind=None, after="", limit=50
    ),
}


@pytest.mark.parametrize("name", _LISTS)
def test_a_list_of_the_control_database_is_read_by_index(name: str, engine: Engine) -> None:
    with plans_of(engine) as plans, Store(engine).read() as unit:
        _LISTS[name](unit)
    assert plans
    assert not [walk for plan in plans for walk in walks(plan)], "\n".join(plans)


def test_a_walk_through_a_table_would_be_seen(engine: Engine) -> None:
    def walk(unit: UnitOfWork) -> None:
        unit.identity.count_users()
        unit._connection.exec_driver_sql("SELECT * FROM outbox WHERE data = 'x'")

    with plans_of(engine) as plans, Store(engine).read() as unit:
        walk(unit)
    assert walks(plans[-1]), plans
