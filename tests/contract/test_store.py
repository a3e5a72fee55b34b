"""The store on both dialects: rows come back as they were, tenants stay apart, changes are serial."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from control_plane.domain.access import Binding, Role, Scope
from control_plane.domain.audit import GENESIS, AuditEntry, link
from control_plane.domain.events import Event
from control_plane.domain.files import File, FileState
from control_plane.domain.function_search import FunctionSearch
from control_plane.domain.functions import Draft, DraftFile, Edit, Function
from control_plane.domain.identity import Organization, Project, ReviewPolicy, User
from control_plane.domain.releases import ReleaseState
from control_plane.domain.review_comments import Comment
from control_plane.domain.reviews import Approval, ReviewState
from control_plane.domain.sharing import EVERYONE, Installation, Share, ShareKind
from control_plane.domain.test_runs import TestRun
from control_plane.domain.values import ValueKey, ValueKind
from control_plane.domain.versions import VersionState
from control_plane.errors import Conflict, Unavailable
from control_plane.store.codec import Json, from_plain, to_plain
from control_plane.store.journal_rows import AuditFilter
from control_plane.store.review_rows import ReviewFilter
from control_plane.store.unit_of_work import Store
from tests.unit.samples import a_part, a_release, a_review, a_value, a_version


@pytest.fixture
def store(engine: Engine) -> Store:
    return Store(engine)


def a_function(identifier: str = "fn_1", organization: str = "org_1", name: str = "orders") -> Function:
    return Function(identifier, organization, "prj_1", name, "Orders", "usr_1", 1_780_272_000_000)


def a_draft(function: Function) -> Draft:
    files = (DraftFile("ü.py", "sha256:" + "0" * 64, 10),)
    return Draft(function.id, function.organization, function.project, 1, files, "{}", "usr_1", 5)


def test_functions_and_drafts_come_back(store: Store) -> None:
    function = a_function()
    with store.begin() as unit:
        unit.functions.add(function, a_draft(function))
        unit.functions.add_edit(Edit("fn_1", "org_1", 2, "usr_1", "a@b.c", 3, "put"))
        unit.functions.add_test_run(
            TestRun(
                "run_1", "org_1", "prj_1", "fn_1", 1, "sha256:x", "usr_1", 0, "running", logs=({"m": 1.5},)
            )
        )
    with store.begin() as unit:
        unit.functions.update(replace(function, latest=3))
        unit.functions.update_draft(replace(a_draft(function), revision=2))
    with store.read() as unit:
        assert unit.functions.get("org_1", "fn_1") == replace(function, latest=3)
        assert unit.functions.by_name("org_1", "orders") == replace(function, latest=3)
        assert unit.functions.draft("org_1", "fn_1") == replace(a_draft(function), revision=2)
        assert unit.functions.editors_after("org_1", "fn_1", 1) == (("usr_1", "a@b.c"),)
        assert unit.functions.editors_after("org_1", "fn_1", 2) == ()
        run = unit.functions.test_run("org_1", "run_1")
        assert run is not None
        assert run.logs == ({"m": 1.5},)
        assert unit.functions.test_runs("org_1", "fn_1", 5) == (run,)
        assert unit.functions.present({"fn_1", "fn_2"}) == {"fn_1": replace(function, latest=3)}


def test_no_row_is_seen_from_another_organization(store: Store) -> None:
    function = a_function()
    with store.begin() as unit:
        unit.functions.add(function, a_draft(function))
        unit.versions.add(a_version())
        unit.reviews.add(a_review())
        unit.releases.add(a_release())
        unit.values.add(a_value())
        unit.outbox.add(Event("evt_1", "org_1", "t", "s", 0, {}, 1))
    with store.read() as unit:
        assert unit.functions.get("org_2", "fn_1") is None
        assert unit.functions.by_name("org_2", "orders") is None
        assert unit.functions.list("org_2", ("prj_1",), FunctionSearch(), after=None, limit=10) == ()
        with pytest.raises(LookupError):
            unit.functions.draft("org_2", "fn_1")
        assert unit.versions.get("org_2", "ver_1") is None
        assert unit.versions.by_number("org_2", "fn_1", 1) is None
        assert unit.versions.by_digest("org_2", "fn_1", a_version().digest) is None
        assert unit.versions.list("org_2", "fn_1") == ()
        assert unit.reviews.get("org_2", "rev_1") is None
        assert unit.reviews.of_version("org_2", "ver_1") == ()
        assert unit.reviews.active_of("org_2", "fn_1") == ()
        assert unit.releases.get("org_2", "rel_1") is None
        assert unit.releases.active_of("org_2", "fn_1") == ()
        assert unit.releases.live_since("org_2", "fn_1", 0) == ()
        assert unit.values.newest("org_2", "prj_1") == ()
        assert unit.values.latest("org_2", "prj_1", ValueKey(ValueKind.SETTING, "API_URL")) is None
        assert unit.outbox.after("org_2", 0, 10) == ()
        assert unit.outbox.last_sequence("org_2") == 0
    with pytest.raises(LookupError), store.begin() as unit:
        unit.functions.update(replace(function, organization="org_2"))


def test_versions_reviews_and_releases_come_back(store: Store) -> None:
    version, review = a_version(), a_review()
    release = a_release(a_part(1, 90), a_part(2, 10, "canary")).progressing("x", "y", 1)
    with store.begin() as unit:
        unit.versions.add(version)
        unit.reviews.add(review)
        unit.releases.add(release)
    changed = replace(
        review,
        approvals=(Approval("usr_1", "a@b.c", "sha256:x", 1),),
        comments=(Comment("usr_1", 2, "why?"),),
        state=ReviewState.IN_REVIEW,
    )
    with store.begin() as unit:
        unit.versions.update(
            replace(version, state=VersionState.DEPRECATED, published_ms=7, digest="ignored")
        )
        unit.reviews.update(changed)
        unit.releases.update(release.went_live(9))
    with store.read() as unit:
        assert unit.versions.get("org_1", "ver_1") == replace(
            version, state=VersionState.DEPRECATED, published_ms=7
        )
        assert unit.versions.last_reviewed_revision("org_1", "fn_1") == 0
        assert unit.versions.runnable({"ver_1", "ver_2"}).keys() == {"ver_1"}
        assert unit.reviews.get("org_1", "rev_1") == changed
        wanted = ReviewFilter(function="fn_1", states=(ReviewState.IN_REVIEW,))
        assert unit.reviews.list("org_1", ("prj_1",), wanted, after="rev_2", limit=5) == (changed,)
        assert unit.releases.by_number("org_1", "fn_1", 1) == release.went_live(9)
        assert unit.releases.last_number("org_1", "fn_1") == 1
        assert unit.releases.last_number("org_1", "fn_2") == 0
        assert [one.state for one in unit.releases.active()] == [ReleaseState.LIVE]
        assert len(unit.releases.live_since("org_1", "fn_1", 10)) == 1


def test_the_newest_of_each_value_is_found(store: Store) -> None:
    with store.begin() as unit:
        for value in (a_value(), a_value(content="2", number=2), a_value("TOKEN", "s", secret=True)):
            unit.values.add(value)
    with store.read() as unit:
        newest = unit.values.newest("org_1", "prj_1")
        assert {(one.name, one.number, one.content) for one in newest} == {
            ("API_URL", 2, "2"),
            ("TOKEN", 1, "s"),
        }
        latest = unit.values.latest("org_1", "prj_1", ValueKey(ValueKind.SETTING, "API_URL"))
        assert latest is not None
        assert latest.number == 2
        assert unit.values.by_ids({"set_API_URL_1"})["set_API_URL_1"].content == "x"


def test_people_and_their_roles_come_back(store: Store) -> None:
    user = User("usr_1", "a@b.c", "Ada", "owner-link", False, 1)
    tenant, project = (
        Organization("org_1", "acme", "Acme", 1),
        Project("prj_1", "org_1", "main", "Main", ReviewPolicy(2, 3), ("org_1",), 1),
    )
    binding = Binding(Role.AUTHOR, Scope(("org_1", "prj_1")))
    with store.begin() as unit:
        unit.identity.add_user(user, "hash")
        unit.identity.add_organization(tenant)
        unit.identity.add_project(project)
        unit.identity.add_binding("org_1", "usr_1", binding)
        unit.identity.add_binding("org_1", "usr_1", binding)
        unit.identity.set_login_failures("a@b.c", 3, 9)
        unit.identity.set_login_failures("a@b.c", 4, 10)
    with store.begin() as unit:
        unit.identity.update_project(replace(project, policy=ReviewPolicy(0, 3), revision=2))
        unit.identity.set_password("usr_1", "other", must_change=True)
    with store.read() as unit:
        assert unit.identity.user_by_email("a@b.c") == replace(user, must_change_password=True)
        assert unit.identity.password_hash("usr_1") == "other"
        assert unit.identity.project("org_1", "prj_1") == replace(
            project, policy=ReviewPolicy(0, 3), revision=2
        )
        assert unit.identity.project_by_name("org_2", "main") is None
        assert [member.bindings for member in unit.identity.members("org_1")] == [(binding,)]
        assert unit.identity.organizations_of("usr_1") == (tenant,)
        assert unit.identity.organization_names() == {"org_1": "acme"}
        assert unit.identity.login_failures("a@b.c") == (4, 10)
    with store.begin() as unit:
        unit.identity.remove_binding("org_1", "usr_1", binding)
        unit.identity.set_login_failures("a@b.c", 0, 0)
    with store.read() as unit:
        assert unit.identity.bindings("org_1", "usr_1") == ()
        assert unit.identity.login_failures("a@b.c") == (0, 0)


def test_the_same_name_twice_is_a_conflict(store: Store) -> None:
    with store.begin() as unit:
        unit.functions.add(a_function(), a_draft(a_function()))
    other = a_function("fn_2")
    with pytest.raises(Conflict), store.begin() as unit:
        unit.functions.add(other, a_draft(other))
    with store.begin() as unit:
        elsewhere = a_function("fn_3", "org_2")
        unit.functions.add(elsewhere, a_draft(elsewhere))


def test_an_error_undoes_the_whole_transaction(store: Store) -> None:
    def fail_late() -> None:
        with store.begin() as unit:
            unit.functions.add(a_function(), a_draft(a_function()))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_late()
    with store.read() as unit:
        assert unit.functions.get("org_1", "fn_1") is None


def _append(store: Store, times: int) -> None:
    for _ in range(times):
        with store.begin() as unit:
            unit.audit.lock("org_1")
            sequence, previous = unit.audit.head("org_1")
            plain = AuditEntry(
                "org_1", sequence + 1, "aud", 0, {}, "a", "s", "done", "", {}, previous or GENESIS, ""
            )
            unit.audit.append(plain, link(plain))
            unit.counters.next("events")


def test_changes_of_one_organization_are_serial(store: Store) -> None:
    threads = [threading.Thread(target=_append, args=(store, 10)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with store.read() as unit:
        entries = unit.audit.entries("org_1", 0, None)
        assert [entry.sequence for entry in entries] == list(range(1, 41))
        assert unit.audit.heads() == (("org_1", 40, entries[-1].hash),)
        assert unit.counters.value("events") == 40
        assert unit.counters.value("other") == 0
        assert len(unit.audit.search("org_1", AuditFilter(subject="s"), 38, 1)) == 1


def test_a_read_sees_one_moment(store: Store) -> None:
    with store.read() as unit:
        assert unit.functions.get("org_1", "fn_1") is None
        with store.begin() as other:
            other.functions.add(a_function(), a_draft(a_function()))
        assert unit.functions.get("org_1", "fn_1") is None


def test_events_get_their_places_after_the_commit(store: Store) -> None:
    with store.begin() as unit:
        for number in (1, 2):
            unit.outbox.add(Event(f"evt_{number}", "org_1", "t", "s", 0, {"n": number}))
    with store.begin() as unit:
        waiting = unit.outbox.waiting(10)
        for event in waiting:
            unit.outbox.place(event, unit.counters.next("events"))
        assert unit.outbox.waiting(10) == ()
    with store.read() as unit:
        assert [event.data for event in unit.outbox.after("org_1", 1, 10)] == [{"n": 2}]
        assert unit.outbox.last_sequence("org_1") == 2


@pytest.mark.slow
def test_waiting_for_somebody_elses_change_ends(store: Store) -> None:
    _append(store, 1)
    with store.begin() as unit:
        unit.audit.lock("org_1")
        with pytest.raises(Unavailable), store.begin() as other:
            other.audit.lock("org_1")


class _Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class _Inner:
    number: int
    colour: _Colour = _Colour.RED


@dataclass(frozen=True)
class _Outer:
    pairs: tuple[tuple[str, int], ...]
    inner: _Inner | None
    named: Mapping[str, _Inner]
    anything: Any = None


@given(
    st.builds(
        _Outer,
        st.lists(st.tuples(st.text(), st.integers())).map(tuple),
        st.none() | st.builds(_Inner, st.integers()),
        st.dictionaries(st.text(), st.builds(_Inner, st.integers())),
        st.none() | st.dictionaries(st.text(), st.floats(allow_nan=False)),
    )
)
def test_any_dataclass_comes_back_from_json(value: _Outer) -> None:
    column = Json(_Outer)
    dialect: Any = None
    assert column.process_result_value(column.process_bind_param(value, dialect), dialect) == value
    assert from_plain(_Outer, to_plain(value)) == value


def test_a_shape_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError):
        from_plain(set[int], [1])


def test_files_are_counted_listed_and_found_when_they_are_due(store: Store) -> None:
    kept = File(
        "file_1", "org_1", "prj_1", "ü.csv", "text/csv", 3, "", FileState.WAITING, "usr_1", 1, 10**13, 500
    )
    other = replace(kept, id="file_2", organization="org_2", project="prj_2", due_ms=400)
    with store.begin() as unit:
        assert unit.files.used("org_1", "prj_1") == (0, 0)
        unit.files.add(kept)
        unit.files.add(other)
        unit.files.add(replace(kept, id="file_3", size=4))
    with store.begin() as unit:
        unit.files.update(replace(kept, id="file_3", size=4).removed(300))
    with store.read() as unit:
        assert unit.files.get("org_1", "file_1") == kept
        assert unit.files.get("org_2", "file_1") is None
        assert unit.files.anywhere("file_2") == other
        assert unit.files.list("org_1", "prj_1", "", 10) == (kept,)
        assert unit.files.list("org_1", "prj_1", "file_1", 10) == ()
        assert unit.files.used("org_1", "prj_1") == (3, 1)
        assert [one.id for one in unit.files.due(400, 10)] == ["file_3", "file_2"]
    with store.begin() as unit:
        unit.files.delete("org_1", "file_2")
        unit.files.delete("org_1", "file_1")
    with store.read() as unit:
        assert unit.files.anywhere("file_1") is None
        assert unit.files.anywhere("file_2") == other


def a_share(identifier: str = "shr_1", reach: str = EVERYONE, function: str = "fn_1") -> Share:
    return Share(
        identifier, "org_1", "prj_1", function, "ver_1", 1, "sha256:x", ShareKind.FUNCTION, "orders", "Über",
        ("money",), reach, True, "usr_1", 1, 2,
    )  # fmt: skip


def test_shares_are_found_by_reach_words_and_tags(store: Store) -> None:
    with store.begin() as unit:
        unit.shares.put(a_share(), {"orders", "über", "#money", "a_"}, new=True)
        unit.shares.put(a_share("shr_2", "org_1"), {"orders", "oz"}, new=True)

    def ids(reaches: tuple[str, ...], *terms: str, tags: tuple[str, ...] = ()) -> list[str]:
        with store.read() as unit:
            found = unit.shares.search(reaches, terms, tags, kind=None, after="", limit=10)
        return [share.id for share in found]

    assert ids((EVERYONE,)) == ["shr_1"]
    assert ids((EVERYONE, "org_1")) == ["shr_1", "shr_2"]
    assert ids(("org_2",)) == []
    assert ids((EVERYONE, "org_1"), "o") == ["shr_1", "shr_2"]
    assert ids((EVERYONE, "org_1"), "ord", "üb") == ["shr_1"]
    assert ids((EVERYONE, "org_1"), "p") == []
    assert ids((EVERYONE, "org_1"), tags=("money",)) == ["shr_1"]
    with store.read() as unit:
        assert unit.shares.get("org_1", "shr_1") == a_share()
        assert unit.shares.get("org_2", "shr_1") is None
        assert unit.shares.visible(("org_2", EVERYONE), "shr_2") is None
        assert unit.shares.offered((EVERYONE,), {"shr_1", "shr_2"}) == {"shr_1": a_share()}
        assert unit.shares.same("org_1", "fn_1", ShareKind.STARTER, EVERYONE) is None
        assert [one.id for one in unit.shares.own("org_1", ["prj_1"], "shr_1", 10)] == ["shr_2"]
    with store.begin() as unit:
        unit.shares.put(replace(a_share(), revision=2), {"new"}, new=False)
        unit.shares.delete("org_1", "shr_2")
    assert ids((EVERYONE, "org_1"), "ord") == []
    assert ids((EVERYONE, "org_1"), "new") == ["shr_1"]
    with pytest.raises(Conflict), store.begin() as unit:
        unit.shares.put(a_share("shr_3"), (), new=True)


def test_installations_come_back(store: Store) -> None:
    made = Installation("fn_9", "org_2", "prj_9", "shr_1", "acme", "orders", 1, "sha256:x", "usr_9", 5)
    with store.begin() as unit:
        unit.shares.add_installation(made)
        unit.shares.update_installation(replace(made, number=2))
    with store.read() as unit:
        assert unit.shares.installation("org_2", "fn_9") == replace(made, number=2)
        assert unit.shares.installation("org_1", "fn_9") is None
        assert unit.shares.installations("org_2", ["prj_9"], "", 10) == (replace(made, number=2),)
        assert unit.shares.installations("org_2", ["prj_9"], "fn_9", 10) == ()


def test_a_functions_values_stand_beside_the_projects(store: Store) -> None:
    own = replace(a_value(content="mine"), id="set_own", function="fn_1")
    with store.begin() as unit:
        unit.values.add(a_value())
        unit.values.add(own)
        unit.values.add(replace(own, id="set_other", function="fn_2"))
    with store.read() as unit:
        assert len(unit.values.newest("org_1", "prj_1")) == 3
        assert {one.function for one in unit.values.usable("org_1", "prj_1", "fn_1")} == {"", "fn_1"}
        assert unit.values.latest("org_1", "prj_1", own.key) == own
        assert unit.values.history("org_1", "prj_1", a_value().key) == (a_value(),)


def test_the_market_and_quotas_are_read_by_index(engine: Engine) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("the plan of an empty PostgreSQL table says nothing")
    asked = {
        "SELECT sum(size) FROM files WHERE organization='o' AND project='p'": "files_project",
        "SELECT * FROM files WHERE due_ms <= 5 ORDER BY due_ms LIMIT 9": "files_due",
        "SELECT * FROM shares WHERE reach IN ('a','b') AND id > '' ORDER BY id LIMIT 9": "shares_reach",
        "SELECT * FROM releases WHERE organization='o' AND project='p' AND state IN ('a')": (
            "releases_project"
        ),
        "SELECT share FROM share_words WHERE word BETWEEN 'a' AND 'b'": "share_words",
    }
    with engine.connect() as connection:
        for statement, index in asked.items():
            plan = " ".join(str(row) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}"))
            assert index in plan, plan
            assert "SCAN" not in plan, plan
