"""Files over HTTP: hostile addresses, hostile bytes, and what leaves the server."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from control_plane.api import transfers
from control_plane.api.headers import DOWNLOAD_POLICY
from control_plane.domain.files import UPLOAD_MS
from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople


def announce(api: ApiWorld, people: ApiPeople, content: bytes = b"a,b\n", **more: Any) -> Any:
    body = {"project": "main", "name": "Rechnung Köln.csv", "size": len(content), "content_type": "text/csv"}
    answer = api.person(people.author).post("/files", {**body, **more})
    assert answer.status_code == 201, answer.text
    return answer.json


def send(api: ApiWorld, url: str, content: bytes = b"a,b\n", **more: Any) -> Any:
    return api.nobody().send("PUT", "/" + url, data=content, **more)


def fetch(api: ApiWorld, url: str, method: str = "GET", **headers: str) -> Any:
    # As a server does, read and close what is answered.
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.nobody().send(method, "/" + url, buffered=True, headers=named)


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["code"]


def kept(api: ApiWorld, made: Any) -> bytes | None:
    """Return the file's bytes as the store has them."""
    try:
        with api.world.file_bytes.open(made["id"]) as opened:
            return bytes(opened.read())
    except FileNotFoundError:
        return None


def test_a_file_goes_up_and_comes_down_by_signed_addresses(api: ApiWorld, people: ApiPeople) -> None:
    made = announce(api, people)
    assert (made["state"], made["upload"]["method"]) == ("waiting", "PUT")
    stored = send(api, made["upload"]["url"])
    assert (stored.status_code, stored.json["state"]) == (200, "stored"), stored.text
    assert stored.json["sha256"] == "sha256:" + hashlib.sha256(b"a,b\n").hexdigest()
    author = api.person(people.author)
    link = author.post(f"/files/{made['id']}/links")
    assert link.status_code == 201
    got = fetch(api, link.json["url"])
    assert (got.status_code, got.data) == (200, b"a,b\n")
    assert got.headers["Content-Length"] == "4"
    digest = base64.b64encode(hashlib.sha256(b"a,b\n").digest()).decode()
    assert got.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert author.get("/files?project=main").json["items"][0]["id"] == made["id"]
    use = author.get("/projects/main/file-quota").json
    assert (use["used_bytes"], use["used_count"], use["most_count"]) == (4, 1, 8)
    assert author.delete(f"/files/{made['id']}").status_code == 204
    assert problem(author.get(f"/files/{made['id']}")) == (404, "not_found")
    assert problem(fetch(api, link.json["url"])) == (403, "link_refused")


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "text/csv"])
def test_a_hostile_file_cannot_act_in_the_consoles_origin(
    api: ApiWorld, people: ApiPeople, kind: str
) -> None:
    made = announce(api, people, content_type=kind, name="x.html")
    send(api, made["upload"]["url"])
    link = api.person(people.author).post(f"/files/{made['id']}/links").json["url"]
    for method in ("GET", "HEAD"):
        got = fetch(api, link, method)
        assert got.headers["Content-Security-Policy"] == DOWNLOAD_POLICY
        assert "sandbox" in DOWNLOAD_POLICY
        assert got.headers["X-Content-Type-Options"] == "nosniff"
        assert got.headers["Content-Disposition"] == "attachment; filename*=UTF-8''x.html"
        assert got.headers["Content-Type"].split(";")[0] in {"application/octet-stream", "text/csv"}
        assert got.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert got.headers["Cache-Control"] == "no-store"


def test_a_name_cannot_leave_its_header(api: ApiWorld, people: ApiPeople) -> None:
    made = announce(api, people)
    send(api, made["upload"]["url"])
    link = api.person(people.author).post(f"/files/{made['id']}/links").json["url"]
    got = fetch(api, link)
    assert got.headers["Content-Disposition"] == "attachment; filename*=UTF-8''Rechnung%20K%C3%B6ln.csv"
    for name in ("a\r\nSet-Cookie: x", 'a"; filename=b', "../a"):
        body = {"project": "main", "name": name, "size": 1}
        assert problem(api.person(people.author).post("/files", body)) == (422, "invalid")


def test_bent_addresses_open_nothing(api: ApiWorld, people: ApiPeople) -> None:
    made, other = announce(api, people), announce(api, people)
    parts = urlsplit(made["upload"]["url"])
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    bent = [
        (parts.path, {}),
        (parts.path, {"expires": query["expires"]}),
        (parts.path, {**query, "expires": str(int(query["expires"]) + 1)}),
        (parts.path, {**query, "signature": query["signature"][:-1] + "0" * 2}),
        (urlsplit(other["upload"]["url"]).path, query),
        ("/api/v1/files/file_none/content", query),
    ]
    for path, asked in bent:
        assert problem(send(api, f"{path}?{urlencode(asked)}")) == (403, "link_refused"), path
        assert problem(fetch(api, f"{path}?{urlencode(asked)}")) == (403, "link_refused"), path
    assert problem(fetch(api, made["upload"]["url"])) == (403, "link_refused"), "PUT is not GET"
    assert kept(api, made) is None


def test_an_address_ends_and_counts_once(api: ApiWorld, people: ApiPeople) -> None:
    made, late = announce(api, people), announce(api, people)
    assert send(api, made["upload"]["url"]).status_code == 200
    assert problem(send(api, made["upload"]["url"], b"c,d\n")) == (409, "link_used")
    assert kept(api, made) == b"a,b\n"
    api.world.clock.advance(ms=UPLOAD_MS)
    assert problem(send(api, late["upload"]["url"])) == (403, "link_refused")


def test_other_bytes_than_announced_are_refused(api: ApiWorld, people: ApiPeople) -> None:
    made = announce(api, people, sha256="sha256:" + "0" * 64)
    for content, refusal in (
        (b"a,b\nc", (413, "too_large")),
        (b"a,b", (422, "upload_refused")),
        (b"", (422, "upload_refused")),
        (b"a,b\n", (422, "upload_refused")),
    ):
        assert problem(send(api, made["upload"]["url"], content)) == refusal, content
    assert kept(api, made) is None


def test_the_quota_answers_with_figures(api: ApiWorld, people: ApiPeople) -> None:
    author = api.person(people.author)
    body = {"project": "main", "name": "a", "size": 1_001}
    too_large = author.post("/files", body)
    assert problem(too_large) == (413, "too_large")
    assert "1,000" in too_large.json["detail"]
    for _ in range(5):
        announce(api, people, size=1_000)
    full = author.post("/files", {**body, "size": 1})
    assert problem(full) == (409, "quota_exceeded")
    assert "5,000 bytes of 5,000" in full.json["detail"]
    assert full.json["errors"][0]["pointer"] == "/size"


def test_a_repeated_announcement_makes_one_file(api: ApiWorld, people: ApiPeople) -> None:
    author = api.person(people.author)
    body = {"project": "main", "name": "a", "size": 1}
    answers = [author.post("/files", body, headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert answers[0].json == answers[1].json
    assert len(author.get("/files?project=main").json["items"]) == 1


def test_slow_senders_leave_room_for_everybody_else(api: ApiWorld, people: ApiPeople) -> None:
    made = announce(api, people)
    taken = 0
    while transfers._transfers.acquire(blocking=False):
        taken += 1
    try:
        busy = send(api, made["upload"]["url"])
        assert problem(busy) == (429, "too_many")
        assert "Retry-After" in busy.headers
    finally:
        for _ in range(taken):
            transfers._transfers.release()
    assert send(api, made["upload"]["url"]).status_code == 200
    link = api.person(people.author).post(f"/files/{made['id']}/links").json["url"]
    for _ in range(taken + 2):
        assert fetch(api, link).status_code == 200
        assert fetch(api, link, "HEAD").status_code == 200


def test_a_broken_download_goes_on(api: ApiWorld, people: ApiPeople) -> None:
    content = bytes(range(256)) * 3
    made = announce(api, people, content)
    send(api, made["upload"]["url"], content)
    link = api.person(people.author).post(f"/files/{made['id']}/links").json["url"]
    whole = fetch(api, link)
    assert (whole.headers["Accept-Ranges"], "Content-Range" in whole.headers) == ("bytes", False)
    tag = whole.headers["ETag"]
    assert tag == f'"{hashlib.sha256(content).hexdigest()}"'
    rest = fetch(api, link, Range="bytes=700-", If_Range=tag)
    assert (rest.status_code, rest.data) == (206, content[700:])
    assert rest.headers["Content-Range"] == "bytes 700-767/768"
    assert (rest.headers["Content-Length"], rest.headers["ETag"]) == ("68", tag)
    # The digest is the whole's, so that the parts can be checked when they are put together.
    assert rest.headers["Repr-Digest"] == whole.headers["Repr-Digest"]
    assert rest.headers["Content-Security-Policy"] == DOWNLOAD_POLICY
    assert rest.headers["Content-Disposition"].startswith("attachment")
    other = fetch(api, link, Range="bytes=700-", If_Range='"other"')
    assert (other.status_code, other.data) == (200, content)
    shown = fetch(api, link, "HEAD", Range="bytes=0-1")
    assert (shown.status_code, shown.headers["Content-Length"]) == (200, "768")


def test_a_part_behind_the_end_says_where_the_end_is(api: ApiWorld, people: ApiPeople) -> None:
    made = announce(api, people)
    send(api, made["upload"]["url"])
    link = api.person(people.author).post(f"/files/{made['id']}/links").json["url"]
    for _ in range(transfers._TRANSFERS + 2):
        refused = fetch(api, link, Range="bytes=4-")
        assert problem(refused) == (416, "range_not_satisfiable")
    assert refused.headers["Content-Range"] == "bytes */4"
    assert refused.json["errors"][0]["pointer"] == "/Range"
    assert refused.json["hint"]
    # A refusal keeps no place among the transfers.
    assert fetch(api, link, Range="bytes=0-1").data == b"a,"


def test_a_lost_blob_is_not_found(api: ApiWorld, people: ApiPeople) -> None:
    made = announce(api, people)
    send(api, made["upload"]["url"])
    link = api.person(people.author).post(f"/files/{made['id']}/links").json["url"]
    api.world.file_bytes.delete(made["id"])
    for _ in range(10):
        assert problem(fetch(api, link)) == (404, "not_found")
