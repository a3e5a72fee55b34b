"""Drafts over HTTP: no lost updates, hostile uploads refused, bytes as they were."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest

from control_plane.api.state import ApiOptions
from control_plane.api.uploads import streamed_body
from control_plane.errors import TooLarge
from tests.api.test_slice import archive
from tests.support.api import ApiWorld, Person
from tests.support.api_fixtures import ApiPeople

GZIP = {"Content-Type": "application/gzip"}
BYTES = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def author(api: ApiWorld, people: ApiPeople) -> Person:
    api.world.drafted(people.author)
    return api.person(people.author)


def etag(author: Person) -> str:
    return str(author.get("/functions/orders/draft").headers["ETag"])


def put(author: Person, content: bytes, **headers: str) -> Any:
    return author.send("PUT", "/functions/orders/draft/archive", data=content, headers={**GZIP, **headers})


def test_an_edit_names_the_state_that_it_is_based_on(author: Person) -> None:
    old = etag(author)
    path = "/functions/orders/draft/files/notes.txt"
    for if_match, status, code in [
        (None, 428, "precondition_required"),
        ('"d999"', 412, "precondition_failed"),
        ("*", 422, "invalid"),
        (f"W/{old}", 422, "invalid"),
        (f'{old}, "d2"', 422, "invalid"),
    ]:
        headers = {**BYTES, **({"If-Match": if_match} if if_match else {})}
        answer = author.send("PUT", path, data=b"x", headers=headers)
        assert (answer.status_code, answer.json["code"]) == (status, code), if_match
    first = author.send("PUT", path, data=b"mine", headers={**BYTES, "If-Match": old})
    assert first.status_code == 200
    second = author.send("PUT", path, data=b"theirs", headers={**BYTES, "If-Match": old})
    assert second.status_code == 412
    assert author.get(path).data == b"mine"


def test_a_file_comes_back_as_bytes_that_no_browser_runs(author: Person) -> None:
    page = b"<script>alert(1)</script>"
    path = "/functions/orders/draft/files/page.html"
    author.send("PUT", path, data=page, headers={**BYTES, "If-Match": etag(author)})
    answer = author.get(path)
    assert (answer.data, answer.content_type) == (page, "application/octet-stream")
    assert answer.headers["Content-Disposition"] == "attachment"
    gone = author.delete(path, headers={"If-Match": etag(author)})
    assert gone.status_code == 200
    assert author.get(path).status_code == 404


def test_an_archive_goes_out_as_it_came_in(author: Person) -> None:
    files = {"function.py": b"x = 1\n", "data/a.bin": bytes(range(256))}
    assert put(author, archive(files), **{"If-Match": etag(author)}).status_code == 200
    answer = author.get("/functions/orders/draft/archive")
    with tarfile.open(fileobj=io.BytesIO(answer.data)) as tar:
        back = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert back == files
    assert answer.headers["ETag"] == etag(author)


@pytest.mark.parametrize("name", ["../escape.py", "/etc/passwd", "a/../../b"])
def test_an_archive_that_leaves_its_folder_is_refused(author: Person, name: str) -> None:
    answer = put(author, archive({name: b"x"}), **{"If-Match": etag(author)})
    assert (answer.status_code, answer.json["code"]) == (422, "archive_refused")


def test_what_is_no_archive_is_refused(author: Person) -> None:
    for content, headers, status in [
        (b"hello", {}, 422),
        (b"", {}, 422),
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"x" * 20_000_001, {}, 413),
    ]:
        answer = put(author, content, **{"If-Match": etag(author), **headers})
        assert answer.status_code == status, answer.text


def test_an_upload_without_a_length_is_cut_off_at_the_limit(api: ApiWorld) -> None:
    class Endless(io.RawIOBase):
        sent = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            Endless.sent += len(buffer)
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    stream = io.BufferedReader(Endless(), 1 << 16)
    environ = {"wsgi.input": stream, "wsgi.input_terminated": True}
    with (
        api.app.test_request_context("/", method="PUT", headers=GZIP, environ_overrides=environ),
        pytest.raises(TooLarge),
        streamed_body(1_000_000, frozenset({"application/gzip"})),
    ):
        pass
    assert Endless.sent < 3_000_000


def test_the_limits_of_the_edge_and_of_the_builders_agree() -> None:
    from builders.archive import MAX_ARCHIVE_BYTES

    assert ApiOptions().archive_limit == MAX_ARCHIVE_BYTES
