"""The slice over HTTP: from the first owner to a rollback."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile

from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople


def archive(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def test_a_draft_is_pushed_tried_frozen_approved_released_and_rolled_back(
    api: ApiWorld, people: ApiPeople
) -> None:
    author, reviewer = api.person(people.author), api.person(people.reviewer)
    operator = api.person(people.operator)
    made = author.post("/functions", {"project": "main", "name": "orders"})
    assert made.status_code == 201, made.text
    function = made.json["id"]
    assert made.json["path"] == "/acme/orders"
    assert made.json["url"] == "http://127.0.0.1:8081/acme/orders"

    for number in (1, 2):
        etag = author.get(f"/functions/{function}/draft").headers["ETag"]
        pushed = author.send(
            "PUT",
            f"/functions/{function}/draft/archive",
            data=archive({"function.py": b"x = %d\n" % number, "ingot.json": b"{}"}),
            headers={"If-Match": etag, "Content-Type": "application/gzip"},
        )
        assert pushed.status_code == 200, pushed.text
        run = author.post(
            f"/functions/{function}/draft/test-runs", {"body": base64.b64encode(b"{}").decode()}
        )
        assert (run.status_code, run.json["state"], run.json["status"]) == (201, "answered", 200), run.text
        etag = author.get(f"/functions/{function}/draft").headers["ETag"]
        frozen = author.post(f"/functions/{function}/versions", headers={"If-Match": etag})
        assert (frozen.status_code, frozen.json["number"]) == (201, number), frozen.text
        review = author.post(f"/functions/{function}/reviews", {"version": number})
        assert review.status_code == 201, review.text
        approved = reviewer.post(f"/reviews/{review.json['id']}/approve", {"digest": review.json["digest"]})
        assert (approved.status_code, approved.json["state"]) == (200, "approved"), approved.text

    diff = reviewer.get(f"/functions/{function}/versions/2/diff?base=1").json
    assert diff["files"][0]["lines"][-2:] == ["-x = 1", "+x = 2"]

    first = operator.post(f"/functions/{function}/releases", {"version": 1})
    assert (first.status_code, first.json["state"]) == (202, "pending"), first.text
    api.world.settle()
    plan = operator.post(f"/functions/{function}/releases/plan", {"version": 2, "percent": 10})
    assert [part["percent"] for part in plan.json["parts"]] == [90, 10]
    canary = operator.post(f"/functions/{function}/releases", {"version": 2, "percent": 10})
    assert canary.status_code == 202, canary.text
    api.world.settle()
    live = operator.get(f"/functions/{function}/releases/{canary.json['number']}").json
    assert (live["state"], live["parts"][1]["tag"]) == ("live", "canary")
    assert author.get(f"/functions/{function}").json["live_versions"] == [1, 2]
    back = operator.post(f"/functions/{function}/releases/rollback")
    assert (back.status_code, back.json["rollback_of"]) == (202, 1), back.text
    api.world.settle()
    assert author.get(f"/functions/{function}").json["live_versions"] == [1]

    key = operator.post("/projects/main/api-keys", {"name": "shop"})
    assert key.status_code == 201, key.text
    assert key.json["text"].startswith("ing_live_")
    owner = api.person(people.owner)
    assert owner.get("/audit/verification").json["intact"] is True
    assert owner.get("/usage").json == {"items": [], "next_cursor": None}
