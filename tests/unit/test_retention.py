"""What is over goes in bounded pieces; what anything needs never does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import func, select

from control_plane.domain.retention import DAY_MS, HOUR_MS, Content, Removal, judge
from control_plane.errors import PreconditionFailed
from control_plane.services.retention import Retention, Rules
from control_plane.store import unit_of_work  # noqa: F401  (every table says so to the metadata)
from control_plane.store.journal_tables import outbox
from control_plane.store.retention_rows import KINDS, REFERENCING
from control_plane.store.tables import metadata
from tests.support.builders import World
from tests.support.fake_contents import FakeContents
from tests.unit.conftest import People

RULES = Rules(test_run_days=30, event_days=90, credential_days=30, content_hours=48, draft_days=60, batch=100)
GRACE = RULES.grace_ms


class Deciding(RuleBasedStateMachine):
    """Content comes, is needed and is no longer, in any order and at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 10 * GRACE
        self.touched: dict[str, int] = {}
        self.needed: Counter[str] = Counter()
        self.since: dict[tuple[str, str], int] = {}

    @rule(name=st.sampled_from("abcde"))
    def freeze(self, name: str) -> None:
        """Put it, or find it there; the row comes later, within the grace."""
        self.touched[name] = self.now

    @rule(name=st.sampled_from("abcde"))
    def commit(self, name: str) -> None:
        if self.touched.get(name, -1) > self.now - GRACE:
            self.needed[name] += 1

    @rule(name=st.sampled_from("abcde"))
    def share(self, name: str) -> None:
        """Another row names what one names, and nobody touches the content."""
        if self.needed[name]:
            self.needed[name] += 1

    @rule(name=st.sampled_from("abcde"))
    def replace_draft(self, name: str) -> None:
        self.needed[name] = max(self.needed[name] - 1, 0)

    @rule(share=st.floats(0.01, 3))
    def wait(self, share: float) -> None:
        self.now += int(GRACE * share)

    @rule()
    def sweep(self) -> None:
        old = [Content("blob", name, 1) for name, at in self.touched.items() if at < self.now - GRACE]
        unneeded = [content for content in old if not self.needed[content.digest]]
        decided = judge(unneeded, self.since, self.now, GRACE)
        for content in decided.doomed:
            del self.touched[content.digest]
            del self.since[content.key]
        for key in decided.forgotten:
            self.since.pop(key, None)
        for content in decided.noticed:
            self.since[content.key] = self.now

    @invariant()
    def what_is_needed_is_there(self) -> None:
        assert {name for name, rows in self.needed.items() if rows} <= self.touched.keys()


Deciding.TestCase.settings = settings(max_examples=60, deadline=None)
TestDeciding = Deciding.TestCase


def test_content_goes_only_after_two_looks_a_grace_apart() -> None:
    content = Content("blob", "sha256:a", 1)
    first = judge([content], {}, 0, GRACE)
    assert (first.doomed, first.noticed) == ((), (content,))
    since = {content.key: 0}
    assert judge([content], since, GRACE - 1, GRACE).doomed == ()
    assert judge([content], since, GRACE, GRACE).doomed == (content,)
    assert judge([], since, GRACE, GRACE).forgotten == (content.key,)


@pytest.fixture
def contents() -> FakeContents:
    return FakeContents()


@pytest.fixture
def retention(world: World, contents: FakeContents) -> Retention:
    return Retention(world.changes, contents, RULES)


def swept(world: World, retention: Retention) -> dict[str, int]:
    """Look twice, a grace apart, and return what the second look removed."""
    world.clock.advance(ms=GRACE + 1)
    retention.clean_content()
    world.clock.advance(ms=GRACE + 1)
    return {one.kind: one.count for one in retention.clean_content()}


def test_a_sweep_keeps_what_drafts_and_versions_name_and_their_images_parts(
    world: World, people: People, contents: FakeContents, retention: Retention
) -> None:
    version = world.frozen(people.author)
    draft = world.drafts.get(people.author, "orders")
    contents.images[version.image] = frozenset({"sha256:" + "c" * 64})
    named = {file.digest for file in (*version.files, *draft.files)} | {
        *version.layers.values(),
        "sha256:" + "c" * 64,
    }
    named = {digest for digest in named if len(digest) == 71}
    assert named
    for digest in (*named, "sha256:" + "f" * 64):
        contents.put(Content("blob", digest, 10), world.clock.now_ms())
    assert swept(world, retention) == {"blobs": 1, "layers": 0}
    assert {digest for _, digest in contents.held} == named


def test_what_a_draft_no_longer_names_goes(
    world: World, people: People, contents: FakeContents, retention: Retention
) -> None:
    world.drafted(people.author, text="x = 1\n")
    before = {file.digest for file in world.drafts.get(people.author, "orders").files}
    for digest in before:
        contents.put(Content("blob", digest, 10), world.clock.now_ms())
    world.drafted(people.author, text="x = 2\n")
    kept = {file.digest for file in world.drafts.get(people.author, "orders").files}
    assert swept(world, retention)["blobs"] == len(before - kept) == 1
    assert {digest for _, digest in contents.held} == before & kept


def test_one_call_removes_one_batch(world: World, contents: FakeContents) -> None:
    small = Retention(world.changes, contents, replace(RULES, batch=3))
    for number in range(8):
        contents.put(Content("blob", f"sha256:{number:064x}", 1), world.clock.now_ms())
    removed = [swept(world, small)["blobs"]]
    while contents.held:
        removed.append({one.kind: one.count for one in small.clean_content()}["blobs"])
    assert removed == [3, 3, 2]


def test_the_dry_run_counts_and_removes_nothing(
    world: World, people: People, contents: FakeContents, retention: Retention
) -> None:
    world.drafted(people.author)
    world.events.sequence()
    contents.put(Content("blob", "sha256:" + "f" * 64, 10), world.clock.now_ms())
    world.clock.advance(ms=GRACE + 1)
    retention.clean_content()
    world.clock.advance(ms=400 * DAY_MS)
    found = {one.kind: (one.count, one.size) for one in retention.preview()}
    with world.engine.connect() as connection:
        placed = connection.scalar(select(func.count()).select_from(outbox).where(outbox.c.sequence > 0))
    assert found["events"][0] == placed
    assert found["blobs"] == (1, 10)
    assert found["events"][0] > 0 < found["events"][1]
    assert found["expired_credentials"][0] > 0
    assert retention.preview() == retention.preview()


def test_rows_go_when_their_days_are_over_and_not_before(
    world: World, people: People, retention: Retention
) -> None:
    world.drafted(people.author)
    world.events.sequence()
    with world.engine.connect() as connection:
        events = connection.scalar(select(func.count()).select_from(outbox))
    assert events
    world.clock.advance(ms=90 * DAY_MS - HOUR_MS)
    assert {one.kind: one.count for one in retention.clean_rows()}["events"] == 0
    world.clock.advance(ms=2 * HOUR_MS)
    removed = 0
    while went := {one.kind: one.count for one in retention.clean_rows()}["events"]:
        removed += went
    assert removed == events


def test_an_event_that_nobody_has_placed_yet_stays(
    world: World, people: People, retention: Retention
) -> None:
    world.drafted(people.author)
    while world.events.sequence():
        pass
    world.drafted(people.author, text="later\n")
    with world.engine.connect() as connection:
        waiting = connection.scalar(select(func.count()).select_from(outbox).where(outbox.c.sequence == 0))
    world.clock.advance(ms=400 * DAY_MS)
    while sum(one.count for one in retention.clean_rows()):
        pass
    with world.engine.connect() as connection:
        left = connection.scalar(select(func.count()).select_from(outbox))
    assert left == waiting


def test_the_drafts_of_functions_that_are_gone_lose_their_files(
    world: World, people: People, contents: FakeContents, retention: Retention
) -> None:
    def drafts_of(removals: tuple[Removal, ...]) -> int:
        return {one.kind: one.count for one in removals}["drafts"]

    world.frozen(people.author)
    world.drafted(people.author, name="kept")
    seen = world.drafts.get(people.author, "orders")
    world.functions.remove(people.operator, "orders")
    world.clock.advance(ms=60 * DAY_MS - HOUR_MS)
    assert drafts_of(retention.preview()) == drafts_of(retention.clean_rows()) == 0
    world.clock.advance(ms=2 * HOUR_MS)
    assert drafts_of(retention.preview()) == 1
    assert drafts_of(retention.clean_rows()) == 1
    assert drafts_of(retention.preview()) == drafts_of(retention.clean_rows()) == 0
    world.functions.restore(people.operator, "orders")
    empty = world.drafts.get(people.author, "orders")
    assert (empty.files, empty.lock, seen.files != ()) == ((), "", True)
    assert world.drafts.get(people.author, "kept").files
    assert world.versions.get(people.author, "orders", 1).files, "versions stay"
    with pytest.raises(PreconditionFailed):
        world.drafts.put_file(people.author, "orders", "main.py", b"x", if_match=seen.etag)


def test_zero_days_keep_for_ever(world: World, people: People, contents: FakeContents) -> None:
    keeping = Retention(
        world.changes,
        contents,
        replace(RULES, test_run_days=0, event_days=0, credential_days=0, draft_days=0),
    )
    world.drafted(people.author)
    world.events.sequence()
    world.clock.advance(ms=4000 * DAY_MS)
    assert {one.kind: one.count for one in keeping.clean_rows()} == {"idempotency_keys": 0}


@pytest.mark.parametrize("kind", KINDS)
def test_every_removal_uses_an_index(world: World, kind: str) -> None:
    table, over = KINDS[kind].table, KINDS[kind].over
    statement = select(*table.primary_key.columns).where(*over(10**12)).limit(10)
    with world.engine.connect() as connection:
        plan = connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN {statement.compile(world.engine, compile_kwargs={'literal_binds': True})}"
        ).all()
    assert all("SEARCH" in row[3] for row in plan), plan


def test_every_column_that_holds_a_blob_is_looked_at() -> None:
    """A new column of these names is looked at by itself; one of another name must be judged here."""
    known = {
        # Digests of manifests, of releases and of what is stored elsewhere.
        *(f"{table}.digest" for table in ("versions", "test_runs", "reviews", "releases", "files", "shares")),
        *(f"{table}.digest" for table in ("previews", "unneeded_content", "installations", "origins")),
    }
    found = {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.c
        if ("digest" in column.name or "blob" in column.name) and column.name not in REFERENCING
    }
    assert found <= known, (
        f"Say whether {found - known} name blobs: retention_rows.REFERENCING keeps what they name."
    )
