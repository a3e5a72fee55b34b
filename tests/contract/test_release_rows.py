"""Rows of guarded releases and of keys with all that they are bound to, on both dialects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from control_plane.domain.credentials import ApiKey, KeyKind, KeyMode
from control_plane.domain.release_guards import Guard
from control_plane.store.unit_of_work import Store
from tests.unit.samples import a_part, a_release

GUARD = Guard(error_percent=2.5, steps=(50, 100), step_s=60, version="ver_1", back_to=3)


@pytest.fixture
def store(engine: Engine) -> Store:
    return Store(engine)


def a_key(number: int, **changes: object) -> ApiKey:
    key = ApiKey(
        f"key_{number}",
        "org_1",
        "prj_1",
        "shop",
        KeyKind.LIVE,
        f"sha{number}",
        "hint",
        ("prj_1",),
        0,
        0,
        "u",
        1,
    )
    return replace(key, **changes)  # type: ignore[arg-type]


def test_a_guarded_release_comes_back_as_it_was(store: Store) -> None:
    release = replace(a_release().guarded(GUARD, 1), created_by_name="Olga")
    with store.begin() as unit:
        unit.releases.add(release)
    with store.read() as unit:
        assert unit.releases.get("org_1", release.id) == release
        assert unit.releases.watched(0) == ()
    live = release.went_live(1_000)
    with store.begin() as unit:
        unit.releases.update(live)
    with store.read() as unit:
        assert unit.releases.watched(live.watch_until_ms - 1) == (live,)
        assert unit.releases.watched(live.watch_until_ms) == ()


def test_releases_are_read_behind_a_number(store: Store) -> None:
    with store.begin() as unit:
        for number in range(1, 6):
            unit.releases.add(a_release(a_part(), number=number))
    with store.read() as unit:
        assert [one.number for one in unit.releases.list("org_1", "fn_1", 2)] == [5, 4]
        assert [one.number for one in unit.releases.list("org_1", "fn_1", 9, 4)] == [3, 2, 1]
        assert unit.releases.list("org_2", "fn_1", 9, 4) == ()


def test_keys_come_back_with_what_they_are_bound_to(store: Store) -> None:
    bound = a_key(
        1,
        modes=(KeyMode.SYNC, KeyMode.ASYNC),
        networks=("10.0.0.0/8", "::1/128"),
        previous_sha256="older",
        previous_hint="old",
        previous_until_ms=9,
        revision=4,
        to_cut=True,
    )
    with store.begin() as unit:
        for key in (bound, a_key(2), a_key(3), a_key(4, organization="org_2")):
            unit.credentials.add_key(key)
    with store.read() as unit:
        assert unit.credentials.key("org_1", "key_1") == bound
        assert unit.credentials.uncut_keys() == (bound,)
        page = unit.credentials.key_page("org_1", "prj_1", "", 2)
        assert [key.id for key in page] == ["key_3", "key_2"]
        assert unit.credentials.key_page("org_1", "prj_1", "key_2", 2) == (bound,)
    with store.begin() as unit:
        unit.credentials.update_key(replace(bound, to_cut=False, cut_ms=5))
    with store.read() as unit:
        assert unit.credentials.uncut_keys() == ()


def test_what_the_worker_asks_each_second_is_read_by_index(engine: Engine) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("the plan of an empty PostgreSQL table says nothing")
    plans: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            found = cursor.connection.execute("EXPLAIN QUERY PLAN " + statement, parameters).fetchall()
            plans.append(" ".join(str(row[3]) for row in found))

    with Store(engine).read() as unit:
        unit.releases.watched(5)
        unit.credentials.uncut_keys()
        unit.credentials.key_page("org_1", "prj_1", "key_2", 5)
        unit.releases.list("org_1", "fn_1", 5, 4)
    for plan, index in zip(
        plans,
        ("releases_watched", "api_keys_to_cut", "api_keys_project", "sqlite_autoindex_releases"),
        strict=True,
    ):
        # The partial index holds nothing but what is asked for, so scanning it is the search.
        assert index in plan, plan
