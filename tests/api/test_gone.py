"""What is deleted is gone; only functions and API keys stay to be looked at, in another state."""

from __future__ import annotations

import pytest

from tests.api.route_recipes import Filled, fill
from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople


@pytest.fixture
def filled(api: ApiWorld, people: ApiPeople) -> Filled:
    return fill(api, people)


@pytest.mark.parametrize(
    "path",
    [
        "/departments/{department}",
        "/files/{file}",
        "/shares/{share}",
        "/projects/{project}/settings/{name}",
        "/projects/{project}/secrets/{name}",
        "/functions/{function}/draft/files/{path}",
    ],
)
def test_what_is_deleted_is_gone(filled: Filled, path: str) -> None:
    address = filled.address(path)
    there = filled.owner.get(address)
    assert there.status_code == 200
    headers = {"If-Match": there.headers["ETag"]} if "ETag" in there.headers else {}
    assert filled.owner.delete(address, headers=headers).status_code in {200, 204}
    gone = filled.owner.get(address)
    assert (gone.status_code, gone.json["code"]) == (404, "not_found")


def test_an_ended_preview_is_gone(filled: Filled) -> None:
    address = filled.address("/functions/{function}/previews")
    made = filled.owner.post(address).json["id"]
    assert filled.owner.get(f"{address}/{made}").status_code == 200
    assert filled.owner.delete(f"{address}/{made}").status_code == 204
    assert filled.owner.get(f"{address}/{made}").status_code == 404


def test_a_removed_function_stays_and_can_be_restored(filled: Filled) -> None:
    address = filled.address("/functions/{function}")
    assert filled.owner.delete(address).status_code == 204
    assert filled.owner.get(address).json["state"] == "removed"
    assert filled.owner.get(f"{address}/versions/1").status_code == 200
    assert filled.owner.post(f"{address}/restore").json["state"] != "removed"


def test_a_revoked_key_stays_and_says_when(filled: Filled) -> None:
    address = filled.address("/api-keys/{api_key}")
    assert filled.owner.delete(address).status_code == 204
    assert filled.owner.get(address).json["revoked_at"] is not None
