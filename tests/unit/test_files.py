"""Files: signed addresses that cannot be bent, one use, quotas, expiry, and kills between the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domain.access import Role
from control_plane.domain.files import (
    DOWNLOAD_MS,
    UPLOAD_MS,
    File,
    FileLink,
    FileState,
    FileWish,
    LinkRefused,
    LinkUsed,
    QuotaExceeded,
    UploadRefused,
    link_for,
    open_link,
    stored_media_type,
)
from control_plane.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from tests.support.builders import World
from tests.unit.conftest import People

KEY = b"key of files"
FILE = File(
    "file_1", "org_1", "prj_1", "a.csv", "text/csv", 3, "", FileState.WAITING, "usr_1", 0, 10**13, 10**12
)


def announced(world: World, people: People, size: int = 3, **more: Any) -> tuple[File, FileLink]:
    return world.files.announce(people.author, project="main", wish=FileWish("a.csv", size, **more))


def send(world: World, file: File, link: FileLink, content: bytes = b"abc") -> File:
    return world.files.store(file.id, link.query, [content], request="req", address="127.0.0.1")


def fetch(world: World, file: File, query: Any) -> bytes:
    _, content = world.files.open(file.id, query)
    with content:
        return content.read()


def test_an_address_opens_for_exactly_what_it_was_made_for() -> None:
    link = link_for(KEY, FILE, "PUT", 5_000)
    assert open_link(KEY, FILE, "PUT", link.query, 4_999) == 5_000
    with pytest.raises(LinkRefused, match="expired"):
        open_link(KEY, FILE, "PUT", link.query, 5_000)
    others = [
        (KEY, FILE, "GET", link.query),
        (b"other key", FILE, "PUT", link.query),
        (KEY, replace(FILE, id="file_2"), "PUT", link.query),
        (KEY, replace(FILE, size=4), "PUT", link.query),
        (KEY, replace(FILE, organization="org_2"), "PUT", link.query),
        (KEY, FILE, "PUT", {**link.query, "expires": "6000"}),
        (KEY, FILE, "PUT", {**link.query, "expires": "٥٠٠٠"}),
        (KEY, FILE, "PUT", {**link.query, "expires": "9" * 5_000}),
        (KEY, FILE, "PUT", {**link.query, "signature": "ü"}),
        (KEY, FILE, "PUT", {"expires": "5000"}),
        (KEY, FILE, "PUT", {}),
    ]
    for key, file, method, query in others:
        with pytest.raises(LinkRefused, match="handed out"):
            open_link(key, file, method, query, 1)


@given(st.text(max_size=80), st.text(max_size=20))
def test_no_guessed_address_opens(signature: str, expires: str) -> None:
    with pytest.raises(LinkRefused):
        open_link(KEY, FILE, "GET", {"signature": signature, "expires": expires}, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a/b"},
        {"name": 'a"b'},
        {"name": "a\nb"},
        {"size": -1},
        {"media_type": "text/html; charset=utf-8"},
        {"media_type": "x"},
        {"digest": "sha256:1"},
        {"days": 0},
        {"days": 366},
    ],
)
def test_a_wish_has_rules(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        FileWish(**{"name": "a", "size": 1, **wrong})


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript"])
def test_what_a_browser_would_run_is_served_as_bytes(kind: str) -> None:
    assert stored_media_type(kind) == "application/octet-stream"
    assert stored_media_type("text/csv") == "text/csv"


def test_a_file_is_announced_sent_fetched_and_deleted(world: World, people: People) -> None:
    file, link = announced(world, people)
    assert (file.state, link.method) == (FileState.WAITING, "PUT")
    with pytest.raises(Conflict, match="not come yet"):
        world.files.link(people.author, file.id)
    stored = send(world, file, link)
    assert (stored.state, len(stored.digest)) == (FileState.STORED, 71)
    assert world.files.get(people.operator, file.id) == stored
    download = world.files.link(people.operator, file.id)
    assert fetch(world, file, download.query) == b"abc"
    with pytest.raises(LinkRefused):
        world.files.open(file.id, link.query)
    assert world.files.list(people.author, project="main").items == (stored,)
    world.files.remove(people.author, file.id)
    assert world.file_bytes.contents == {}
    for gone in (
        lambda: world.files.get(people.author, file.id),
        lambda: world.files.remove(people.author, file.id),
    ):
        with pytest.raises(NotFound):
            gone()
    with pytest.raises(LinkRefused, match="handed out"):
        world.files.open(file.id, download.query)


def test_an_address_takes_bytes_once(world: World, people: People) -> None:
    file, link = announced(world, people)
    send(world, file, link)
    with pytest.raises(LinkUsed):
        send(world, file, link, b"xyz")
    assert world.file_bytes.contents == {file.id: b"abc"}


def test_of_two_senders_at_once_one_has_its_bytes_kept(world: World, people: People) -> None:
    file, link = announced(world, people)

    def slow() -> Iterator[bytes]:
        yield b"ab"
        send(world, file, link, b"xyz")
        yield b"c"

    with pytest.raises(LinkUsed):
        world.files.store(file.id, link.query, slow(), request="", address="")
    assert world.file_bytes.contents == {file.id: b"xyz"}


def test_other_bytes_than_announced_leave_nothing(world: World, people: People) -> None:
    digest = "sha256:" + "0" * 64
    file, link = announced(world, people, digest=digest)
    cases: list[tuple[bytes, type[Exception]]] = [
        (b"abcd", TooLarge),
        (b"ab", UploadRefused),
        (b"", UploadRefused),
        (b"abc", UploadRefused),
    ]
    for content, refusal in cases:
        with pytest.raises(refusal):
            send(world, file, link, content)
    assert world.file_bytes.contents == {}
    assert world.files.get(people.author, file.id).state is FileState.WAITING


def test_addresses_end(world: World, people: People) -> None:
    file, link = announced(world, people)
    late, late_link = announced(world, people)

    def dawdling() -> Iterator[bytes]:
        yield b"ab"
        world.clock.advance(ms=UPLOAD_MS)
        yield b"c"

    stored = send(world, file, link)
    download = world.files.link(people.author, stored.id)
    with pytest.raises(LinkRefused, match="expired while"):
        world.files.store(late.id, late_link.query, dawdling(), request="", address="")
    with pytest.raises(LinkRefused, match="expired"):
        send(world, late, late_link)
    assert DOWNLOAD_MS < UPLOAD_MS
    with pytest.raises(LinkRefused, match="expired"):
        world.files.open(file.id, download.query)


def test_forged_addresses_do_not_fill_the_audit_chain(world: World, people: People) -> None:
    file, link = announced(world, people)
    before = len(world.audit.entries(people.owner, limit=1_000).items)
    for identifier in (file.id, "file_none"):
        with pytest.raises(LinkRefused):
            world.files.store(
                identifier, {**link.query, "signature": "0" * 64}, [b"abc"], request="", address=""
            )
    assert len(world.audit.entries(people.owner, limit=1_000).items) == before


def test_a_project_has_so_much_room(world: World, people: People) -> None:
    with pytest.raises(TooLarge, match="1,001 bytes; 1,000"):
        announced(world, people, 1_001)
    files = [announced(world, people, 1_000)[0] for _ in range(5)]
    with pytest.raises(QuotaExceeded, match="5,000 bytes of 5,000; 1 more"):
        announced(world, people, 1)
    for _ in range(3):
        announced(world, people, 0)
    with pytest.raises(QuotaExceeded, match="8 files"):
        announced(world, people, 0)
    use = world.files.use(people.author, "main")
    assert (use.used_bytes, use.used_count) == (5_000, 8)
    world.files.remove(people.author, files[0].id)
    assert announced(world, people, 1_000)[0].size == 1_000


def test_only_those_with_the_right_see_files(world: World, people: People) -> None:
    file, link = announced(world, people)
    send(world, file, link)
    viewer = world.member(people.owner, "vic", Role.VIEWER)
    refused: list[Callable[[], Any]] = [
        lambda: world.files.get(viewer, file.id),
        lambda: world.files.link(viewer, file.id),
        lambda: world.files.remove(viewer, file.id),
        lambda: world.files.list(viewer, project="main"),
        lambda: world.files.announce(viewer, project="main", wish=FileWish("a", 1)),
    ]
    for attempt in refused:
        with pytest.raises(Forbidden):
            attempt()


def test_the_worker_deletes_what_is_due(world: World, people: People) -> None:
    kept, link = announced(world, people, days=2)
    send(world, kept, link)
    waiting, _ = announced(world, people)
    assert world.file_removal.delete_due() == 0
    world.clock.advance(ms=UPLOAD_MS + 60_000)
    assert world.file_removal.delete_due() == 1
    with pytest.raises(NotFound):
        world.files.get(people.author, waiting.id)
    world.clock.advance(days=2)
    assert world.file_removal.delete_due() == 1
    assert world.file_bytes.contents == {}
    assert world.files.list(people.author, project="main").items == ()
    assert world.events.sequence()
    told = [event.type for event in world.events.after(people.owner, 0, limit=1_000)]
    assert told.count("dev.ingot.file.removed.v1") == 2


def test_a_kill_while_deleting_is_made_good_by_the_worker(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, link = announced(world, people)
    send(world, file, link)

    def killed(_: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world.file_bytes, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            world.files.remove(people.author, file.id)
    with pytest.raises(NotFound):
        world.files.get(people.author, file.id)
    assert world.file_bytes.contents, "the bytes are still there"
    assert world.file_removal.delete_due() == 1
    assert world.file_bytes.contents == {}
    assert world.file_removal.delete_due() == 0


def test_a_kill_before_the_commit_leaves_a_file_that_waits(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, link = announced(world, people)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("control_plane.store.file_rows.FileRows.update", killed)
        with pytest.raises(KeyboardInterrupt):
            send(world, file, link)
    assert world.files.get(people.author, file.id).state is FileState.WAITING
    assert send(world, file, link, b"xyz").state is FileState.STORED
    assert fetch(world, file, world.files.link(people.author, file.id).query) == b"xyz"
