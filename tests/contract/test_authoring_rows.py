"""Previews and packages on both dialects, what the migration fills in, and which index each list uses."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from control_plane.domain.function_search import FunctionSearch, FunctionSort, FunctionState
from control_plane.domain.functions import Declaration, Draft, DraftFile, Function
from control_plane.domain.identity import Organization
from control_plane.domain.previews import Preview
from control_plane.domain.versions import VersionState
from control_plane.errors import Conflict
from control_plane.store.control_migrations import migrate_control
from control_plane.store.unit_of_work import Store
from tests.unit.samples import a_release, a_version


@pytest.fixture
def store(engine: Engine) -> Store:
    return Store(engine)


def a_function(number: int = 1, **more: Any) -> Function:
    name = more.pop("name", f"f{number}")
    return Function(f"fn_{number}", "org_1", "prj_1", name, name.title(), "usr_1", number, **more)


def add(store: Store, *functions: Function) -> None:
    with store.begin() as unit:
        for one in functions:
            unit.functions.add(one, Draft(one.id, one.organization, one.project, 1, (), "", "usr_1", 5))


def test_drafts_of_functions_that_are_gone_are_emptied_in_pieces(store: Store) -> None:
    add(store, *(a_function(number, removed_ms=50, updated_ms=60) for number in (1, 2, 3)))
    add(store, a_function(4), a_function(5, removed_ms=50, updated_ms=200))
    held = (DraftFile("a", "sha256:" + "0" * 64, 1),)
    with store.begin() as unit:
        unit.identity.add_organization(Organization("org_1", "acme", "Acme", 1, 1))
        for number in range(1, 6):
            unit.functions.update_draft(replace(unit.functions.draft("org_1", f"fn_{number}"), files=held))
    with store.begin() as unit:
        assert unit.retention.over_drafts(100).count == 3
        assert [unit.retention.empty_drafts(100, 2) for _ in range(3)] == [2, 1, 0]
        assert unit.retention.over_drafts(100).count == 0
    with store.read() as unit:
        left = {number: unit.functions.draft("org_1", f"fn_{number}") for number in range(1, 6)}
    assert [number for number, draft in left.items() if draft.files == held] == [4, 5]
    assert {draft.revision for number, draft in left.items() if number < 4} == {2}


def a_preview(identifier: str = "pvw_1", user: str = "usr_1", expires_ms: int = 100) -> Preview:
    return Preview(
        id=identifier,
        organization="org_1",
        project="prj_1",
        function="fn_1",
        user=user,
        number=0,
        revision=3,
        digest="sha256:x",
        declaration=Declaration(runtime="python3.11", settings=("A",)),
        layers={"function": "sha256:f"},
        settings={"A": "set_1"},
        secrets={},
        key_sha256="00",
        created_ms=1,
        updated_ms=2,
        expires_ms=expires_ms,
    )


def test_previews_come_back_until_their_time_is_over(store: Store) -> None:
    preview = a_preview()
    with store.begin() as unit:
        unit.previews.add(preview)
        unit.previews.update(replace(preview, revision=4))
    changed = replace(preview, revision=4)
    with store.read() as unit:
        assert unit.previews.get("org_1", "pvw_1") == changed
        assert unit.previews.get("org_2", "pvw_1") is None
        assert unit.previews.of_function("org_1", "fn_1") == (changed,)
        assert unit.previews.of_function("org_2", "fn_1") == ()
        assert unit.previews.alive(99) == (changed,)
        assert (unit.previews.alive(100), unit.previews.expired(100, 5)) == ((), (changed,))
    with pytest.raises(Conflict), store.begin() as unit:
        unit.previews.add(a_preview("pvw_2"))
    with store.begin() as unit:
        unit.previews.drop(replace(changed, organization="org_2"))
        assert unit.previews.of_function("org_1", "fn_1") == (changed,)
        unit.previews.drop(changed)
        assert unit.previews.of_function("org_1", "fn_1") == ()


def test_packages_lead_to_versions_of_the_same_tenant(store: Store) -> None:
    add(store, a_function())
    with store.begin() as unit:
        for number in (1, 2):
            version = a_version(number)
            unit.versions.add(version)
            unit.packages.add(version, {"Num_Py": f"{number}.0"})
        unit.packages.add(a_version(1), {})
    with store.read() as unit:
        every = unit.packages.uses("org_1", ("prj_1",), ("num-py", ""), before="", limit=5)
        assert [(one.number, one.package_version, one.function_name) for one in every] == [
            (2, "2.0", "f1"),
            (1, "1.0", "f1"),
        ]
        assert every[0].state is VersionState.FROZEN
        rest = unit.packages.uses("org_1", ("prj_1",), ("num-py", ""), before=every[0].version, limit=5)
        assert [one.number for one in rest] == [1]
        exact = unit.packages.uses("org_1", ("prj_1",), ("num-py", "2.0"), before="", limit=5)
        assert [one.number for one in exact] == [2]
        assert unit.packages.uses("org_2", ("prj_1",), ("num-py", ""), before="", limit=5) == ()
        assert unit.packages.uses("org_1", ("prj_2",), ("num-py", ""), before="", limit=5) == ()
        assert unit.packages.of_version("org_1", "ver_1") == {"num-py": "1.0"}
        assert unit.packages.of_version("org_2", "ver_1") == {}


def test_functions_are_narrowed_and_ordered_alike_on_both(store: Store) -> None:
    add(
        store,
        a_function(1, name="beta", updated_ms=7, runtime="python3.11"),
        a_function(2, name="alpha", updated_ms=9),
        a_function(3, name="gamma", updated_ms=7, removed_ms=5),
    )
    with store.begin() as unit:
        release = a_release()
        unit.releases.add(replace(release.went_live(5), function="fn_1"))

    def names(after: tuple[str, int] | None = None, limit: int = 9, **search: Any) -> list[str]:
        with store.read() as unit:
            found = unit.functions.list(
                "org_1", ("prj_1",), FunctionSearch(**search), after=after, limit=limit
            )
        return [one.name for one in found]

    assert names(state=FunctionState.LIVE) == ["beta"]
    assert names(state=FunctionState.IDLE) == ["alpha"]
    assert names(state=FunctionState.REMOVED) == ["gamma"]
    assert names(runtime="python3.11") == ["beta"]
    assert names(text="TA") == ["beta"]
    assert names(sort=FunctionSort.NAME, after=("alpha", 0)) == ["beta", "gamma"]
    assert names(sort=FunctionSort.UPDATED) == ["beta", "gamma", "alpha"]
    assert names(sort=FunctionSort.UPDATED, after=("fn_1", 7)) == ["gamma", "alpha"]
    assert names(sort=FunctionSort.UPDATED, descending=True, after=("fn_3", 7)) == ["beta"]
    with store.begin() as unit:
        unit.functions.touch("org_1", "fn_1", 99)
        unit.functions.touch("org_2", "fn_2", 99)
    assert names(sort=FunctionSort.UPDATED) == ["gamma", "alpha", "beta"]


def test_the_migration_fills_in_what_is_known_already(empty: Engine) -> None:
    migrate_control(empty, "0003")
    lock = json.dumps({"packages": [{"name": "numpy", "version": "2.0", "wheels": []}]})
    with empty.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO functions (id, organization, project, name, title, created_by, created_ms, "
                "latest, removed_ms) VALUES ('fn_1', 'org_1', 'prj_1', 'orders', 'O', 'usr_1', 5, 2, 0)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO drafts (function, organization, project, revision, files, lock, updated_by, "
                "updated_ms) VALUES ('fn_1', 'org_1', 'prj_1', 1, '[]', '', 'usr_1', 77)"
            )
        )
        for number, runtime, kept in ((1, "python3.10", lock), (2, "python3.11", "")):
            connection.execute(
                text(
                    "INSERT INTO versions (id, organization, project, function, number, digest, "
                    "manifest_text, declaration, files, lock, layers, image, sbom, revision, authors, "
                    "created_by, created_ms, state, published_ms) VALUES (:id, 'org_1', 'prj_1', 'fn_1', "
                    ":number, :id, '{}', :declaration, '[]', :lock, '{}', '', '', 1, '[]', 'usr_1', 5, "
                    "'frozen', 0)"
                ),
                {
                    "id": f"ver_{number}",
                    "number": number,
                    "declaration": json.dumps({"runtime": runtime}),
                    "lock": kept,
                },
            )
    migrate_control(empty)
    with Store(empty).read() as unit:
        function = unit.functions.get("org_1", "fn_1")
        assert function is not None
        assert (function.runtime, function.updated_ms, function.etag) == ("python3.11", 77, "f1")
        found = unit.packages.uses("org_1", ("prj_1",), ("numpy", "2.0"), before="", limit=5)
        assert [one.number for one in found] == [1]


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (
            "SELECT * FROM functions WHERE organization = 'o' AND name > 'a' ORDER BY name LIMIT 50",
            "functions_name",
        ),
        (
            (
                "SELECT * FROM functions WHERE organization = 'o' AND project IN ('a', 'b') AND id > 'f' "
                "ORDER BY id LIMIT 50"
            ),
            "functions_",
        ),
        (
            (
                "SELECT * FROM functions WHERE organization = 'o' AND updated_ms < 9 "
                "ORDER BY updated_ms DESC, id DESC LIMIT 50"
            ),
            "functions_updated",
        ),
        (
            (
                "SELECT * FROM version_packages WHERE organization = 'o' AND package = 'numpy' "
                "AND package_version = '1' AND version < 'v' ORDER BY version DESC LIMIT 50"
            ),
            "version_packages_exact",
        ),
        (
            "SELECT number FROM versions WHERE function = 'f' AND number < 9 ORDER BY number DESC LIMIT 50",
            "versions_number",
        ),
        ("SELECT 1 FROM releases WHERE function = 'f' AND state = 'live'", "releases_"),
        ("SELECT * FROM previews WHERE expires_ms > 5", "previews_expires"),
    ],
)
def test_each_list_reads_an_index(engine: Engine, statement: str, index: str) -> None:
    postgres = engine.dialect.name == "postgresql"
    with engine.connect() as connection:
        if postgres:
            # Empty tables are cheaper to scan; what counts is that an index fits.
            connection.execute(text("SET enable_seqscan = off"))
        explain = "EXPLAIN " if postgres else "EXPLAIN QUERY PLAN "
        plan = "\n".join(str(row) for row in connection.execute(text(explain + statement)))
    assert index in plan or "autoindex" in plan, plan
    assert "SCAN" not in plan.replace("Index Scan", "").replace("Bitmap", ""), plan
