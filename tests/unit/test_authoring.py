"""Functions, drafts, test runs, versions, settings and keys, through the services."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from control_plane.domain.access import Role
from control_plane.domain.credentials import KeyKind
from control_plane.domain.functions import MAX_FILE_BYTES
from control_plane.domain.values import MissingValues, Stage, ValueKey, ValueKind
from control_plane.domain.versions import VersionState
from control_plane.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed, TooLarge
from control_plane.ports import TestCall, TestOutcome
from control_plane.services.api_keys import KeyLimits
from tests.support.builders import World
from tests.unit.conftest import People

CALL = TestCall("POST", "/", (), b"{}", 1_000)


def test_functions_have_unique_names_and_pages(world: World, people: People) -> None:
    for name in ("a", "b", "c"):
        world.functions.create(people.author, project="main", name=name)
    page = world.functions.list(people.author, project="main", limit=2)
    assert [one.name for one in page.items] == ["a", "b"]
    rest = world.functions.list(people.author, after=page.next, limit=2)
    assert ([one.name for one in rest.items], rest.next) == (["c"], "")
    with pytest.raises(Conflict):
        world.functions.create(people.author, project="main", name="a")
    with pytest.raises(Invalid):
        world.functions.create(people.author, project="main", name="d", title="\n")
    with pytest.raises(NotFound):
        world.functions.create(people.author, project="prj_other", name="d")
    assert world.functions.get(people.reviewer, page.items[0].id).name == "a"
    with pytest.raises(NotFound):
        world.functions.get(people.reviewer, "fn_unknown")
    with pytest.raises(Forbidden):
        world.functions.create(people.reviewer, project="main", name="d")


def test_an_update_cannot_be_lost(world: World, people: People) -> None:
    name = world.drafted(people.author)
    before = world.drafts.get(people.author, name)
    world.drafts.put_file(people.author, name, "a.py", b"1", if_match=before.etag)
    with pytest.raises(PreconditionFailed):
        world.drafts.put_file(people.author, name, "a.py", b"2", if_match=before.etag)
    now = world.drafts.get(people.author, name)
    assert world.drafts.read(people.author, name, "a.py") == b"1"
    world.drafts.delete_file(people.author, name, "a.py", if_match=now.etag)
    assert set(world.drafts.files(people.author, name)) == {"function.py", "ingot.json"}
    with pytest.raises(NotFound):
        world.drafts.read(people.author, name, "a.py")
    with pytest.raises(TooLarge):
        world.drafts.put_file(people.author, name, "big", b"x" * (MAX_FILE_BYTES + 1), if_match="d1")


def test_a_declaration_is_read_from_the_files(world: World, people: People) -> None:
    name = world.drafted(people.author, settings=["API_URL"])
    assert world.drafts.declaration(people.author, name).settings == ("API_URL",)


def test_locking_is_an_edit_and_happens_once(world: World, people: People) -> None:
    name = world.drafted(people.author)
    draft = world.drafts.get(people.author, name)
    pins = world.drafts.put_file(people.author, name, "requirements.txt", b"numpy==2.0", if_match=draft.etag)
    locked = world.drafts.lock(people.author, name)
    assert json.loads(locked.lock) == {"numpy": "2.0"}
    assert locked.revision == pins.revision + 1
    assert world.drafts.lock(people.author, name) == locked
    assert world.builder.locks == 1


def test_an_edit_while_locking_is_noticed(world: World, people: People) -> None:
    name = world.drafted(people.author)

    def edit() -> None:
        world.builder.meanwhile = lambda: None
        world.drafted(people.author, name, "x = 2\n")

    world.builder.meanwhile = edit
    with pytest.raises(Conflict, match="edited while"):
        world.drafts.lock(people.author, name)


def test_freezing_twice_gives_the_same_version(world: World, people: People) -> None:
    first = world.frozen(people.author)
    again = world.versions.freeze(people.author, "orders")
    assert again == first
    assert (first.number, first.authors) == (1, ((people.author.user, people.author.email),))
    second = world.frozen(people.owner, text="x = 2\n")
    assert (second.number, len(second.authors)) == (2, 2)
    assert [one.number for one in world.versions.list(people.author, "orders").items] == [2, 1]
    assert world.versions.get(people.author, "orders", first.id) == first
    assert world.versions.get(people.author, "orders", "2") == second
    with pytest.raises(NotFound):
        world.versions.get(people.author, "orders", 3)


def test_a_version_of_another_function_is_not_found(world: World, people: People) -> None:
    first = world.frozen(people.author)
    world.frozen(people.author, "other")
    with pytest.raises(NotFound):
        world.versions.get(people.author, "other", first.id)


def test_an_edit_while_freezing_is_noticed(world: World, people: People) -> None:
    name = world.drafted(people.author)
    world.drafts.lock(people.author, name)

    def edit() -> None:
        world.builder.meanwhile = later

    def later() -> None:
        world.builder.meanwhile = lambda: None
        world.drafted(people.author, name, "x = 2\n")

    # The lock is read first, the edit comes while it is built.
    world.builder.meanwhile = edit
    with pytest.raises(PreconditionFailed, match="edited while"):
        world.versions.freeze(people.author, name)
    assert world.versions.list(people.author, name).items == ()


def test_only_the_seen_draft_is_frozen_where_asked(world: World, people: People) -> None:
    name = world.drafted(people.author)
    etag = world.drafts.get(people.author, name).etag
    world.drafted(people.author, name, "x = 2\n")
    with pytest.raises(PreconditionFailed):
        world.versions.freeze(people.author, name, if_match=etag)
    world.functions.create(people.author, project="main", name="empty")
    with pytest.raises(Invalid, match="no files"):
        world.versions.freeze(people.author, "empty")


def test_a_builder_whose_digest_is_wrong_is_not_believed(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = world.drafted(people.author)
    honest = world.builder.build
    monkeypatch.setattr(
        world.builder, "build", lambda files, lock: replace(honest(files, lock), digest="sha256:0")
    )
    with pytest.raises(Conflict, match="does not hash"):
        world.versions.freeze(people.author, name)


def test_differences_compare_with_what_is_published(world: World, people: People) -> None:
    first = world.frozen(people.author)
    assert [one.kind for one in world.versions.diff(people.reviewer, "orders", 1).files] == ["added"] * 2
    world.approved(people.author, people.reviewer, first)
    world.released(people.operator, first)
    world.frozen(people.author, text="x = 2\n")
    third = world.frozen(people.author, text="x = 3\n", limits={"memory_mb": 512})
    found = world.versions.diff(people.reviewer, "orders", third.number)
    assert "-x = 1" in found.files[0].lines
    assert [one.name for one in found.declaration] == ["limits.memory_mb"]
    against = world.versions.diff(people.reviewer, "orders", 3, against=2)
    assert "-x = 2" in against.files[0].lines
    world.drafted(people.author, text="x = 4\n", limits={"memory_mb": 512})
    assert [one.path for one in world.versions.diff_draft(people.reviewer, "orders").files] == ["function.py"]
    world.drafted(people.author, "fresh")
    assert len(world.versions.diff_draft(people.reviewer, "fresh").files) == 2


def test_versions_are_only_deprecated_or_retired(world: World, people: People) -> None:
    world.frozen(people.author)
    assert world.versions.deprecate(people.operator, "orders", 1).state is VersionState.DEPRECATED
    retired = world.versions.retire(people.operator, "orders", 1)
    assert world.versions.retire(people.operator, "orders", 1) == retired
    with pytest.raises(Conflict):
        world.versions.deprecate(people.operator, "orders", 1)
    with pytest.raises(Conflict, match="retired"):
        world.reviews.submit(people.author, "orders", 1)


def test_a_test_run_sees_test_values_only(world: World, people: People) -> None:
    name = world.drafted(people.author, settings=["API_URL"], secrets=["TOKEN"])
    world.settings.put(people.operator, "main", ValueKey(ValueKind.SETTING, "API_URL"), "live")
    world.settings.put(people.operator, "main", ValueKey(ValueKind.SECRET, "TOKEN"), "live-secret")
    with pytest.raises(MissingValues, match="setting API_URL, secret TOKEN"):
        world.test_runs.run(people.author, name, CALL)
    for kind, key, content in (
        (ValueKind.SETTING, "API_URL", "test"),
        (ValueKind.SECRET, "TOKEN", "test-secret"),
    ):
        world.settings.put(people.operator, "main", ValueKey(kind, key, Stage.TEST), content)
    run = world.test_runs.run(people.author, name, CALL)
    assert (run.state, run.status, run.duration_us) == ("answered", 200, 1_500)
    target, _ = world.runtime.tests[0]
    assert target.settings == {"API_URL": "test"}
    assert world.sealer.open(people.author.organization, target.secrets["TOKEN"]) == b"test-secret"
    assert world.test_runs.get(people.reviewer, name, run.id) == run
    assert world.test_runs.list(people.reviewer, name).items == (run,)


def test_a_failed_test_run_says_why(world: World, people: People) -> None:
    name = world.drafted(people.author)
    world.runtime.outcome = TestOutcome(
        code="import_failed", message="No module named x.", logs=({"m": "x"},)
    )
    assert world.test_runs.run(people.author, name, CALL).code == "import_failed"
    world.runtime.fault = OSError("no host")
    with pytest.raises(OSError, match="no host"):
        world.test_runs.run(people.author, name, CALL)
    newest = world.test_runs.list(people.author, name).items[0]
    assert (newest.state, newest.code) == ("failed", "unavailable")
    with pytest.raises(Invalid):
        world.test_runs.run(people.author, name, replace(CALL, timeout_ms=0))
    world.drafted(people.author, "other")
    with pytest.raises(NotFound):
        world.test_runs.get(people.author, "other", newest.id)


def test_keys_are_shown_once_and_limited_to_their_project(world: World, people: People) -> None:
    world.drafted(people.author)
    made = world.api_keys.create(
        people.operator,
        project="main",
        name="shop",
        functions=("orders",),
        limits=KeyLimits(rate_10s=5, days=1),
    )
    assert made.text.startswith("ing_live_")
    assert made.text not in str(world.api_keys.list(people.author, project="main"))
    assert made.key.scopes == (world.functions.get(people.author, "orders").id,)
    assert made.key.expires_ms == world.clock.ms + 86_400_000
    test_key = world.api_keys.create(people.operator, project="main", name="try", kind=KeyKind.TEST)
    assert test_key.key.expires_ms == world.clock.ms + 90 * 86_400_000
    world.projects.create(people.owner, name="side")
    with pytest.raises(Invalid, match="another project"):
        world.api_keys.create(people.operator, project="side", name="x", functions=("orders",))
    with pytest.raises(Forbidden):
        world.api_keys.create(people.author, project="main", name="x")
    assert world.api_keys.get(people.author, made.key.id) == made.key
    revoked = world.api_keys.revoke(people.operator, made.key.id)
    assert world.api_keys.revoke(people.operator, made.key.id) == revoked
    for look in (world.api_keys.get, world.api_keys.revoke):
        with pytest.raises(NotFound):
            look(people.operator, "key_unknown")


@pytest.mark.parametrize("wrong", [{"rate_10s": -1}, {"concurrency": 10**9}, {"days": 4_000}])
def test_key_limits_have_bounds(wrong: dict[str, int]) -> None:
    with pytest.raises(Invalid):
        KeyLimits(**wrong)


def test_a_key_needs_a_name_and_few_functions(world: World, people: People) -> None:
    with pytest.raises(Invalid):
        world.api_keys.create(people.operator, project="main", name="")
    with pytest.raises(Invalid):
        world.api_keys.create(people.operator, project="main", name="x", functions=("f",) * 101)


def test_another_organization_sees_nothing(world: World, people: People) -> None:
    version = world.frozen(people.author)
    key = world.api_keys.create(people.operator, project="main", name="shop").key
    review = world.reviews.submit(people.author, "orders", 1)
    stranger = replace(people.owner, organization="org_other", bindings=())
    for look in (
        lambda: world.functions.get(stranger, "orders"),
        lambda: world.versions.get(stranger, version.function, 1),
        lambda: world.drafts.get(stranger, version.function),
        lambda: world.api_keys.get(stranger, key.id),
        lambda: world.reviews.get(stranger, review.id),
        lambda: world.releases.status(stranger, version.function),
        lambda: world.settings.list(stranger, project="main"),
    ):
        with pytest.raises(NotFound):
            look()
    assert world.functions.list(stranger).items == ()
    assert world.review_lists.list(stranger).items == ()


def test_events_are_read_in_one_order_by_one_tenant(world: World, people: People) -> None:
    world.drafted(people.author)
    assert world.events.latest(people.author) == 0
    placed = world.events.sequence()
    events = world.events.after(people.author, 0)
    assert [event.sequence for event in events] == list(range(1, placed + 1))
    assert events[0].type == "dev.ingot.organization.created.v1"
    assert world.events.after(people.author, events[-1].sequence) == ()
    assert world.events.latest(people.author) == placed
    assert world.events.sequence() == 0
    viewer_elsewhere = replace(people.author, organization="org_other", bindings=())
    with pytest.raises(Forbidden):
        world.events.after(viewer_elsewhere, 0)


def test_a_role_in_the_project_is_enough(world: World, people: People) -> None:
    world.projects.create(people.owner, name="side")
    guest = world.member(people.owner, "gil", Role.AUTHOR, project="side")
    assert world.functions.create(guest, project="side", name="guests").name == "guests"
    with pytest.raises(NotFound):
        world.functions.create(guest, project="main", name="x")
