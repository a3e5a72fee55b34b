"""Lists: limits, cursors that cannot be forged or moved, and wanted fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.api.paging import BadCursor, Cursors
from tests.support.api import ApiWorld
from tests.support.api_fixtures import ApiPeople


def test_pages_follow_each_other_without_gap_or_repeat(api: ApiWorld, people: ApiPeople) -> None:
    names = [f"f{number:02}" for number in range(7)]
    for name in names:
        api.world.functions.create(people.owner, project="main", name=name)
    owner = api.person(people.owner)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = "?limit=3" + (f"&cursor={cursor}" if cursor else "")
        page = owner.get(f"/functions{query}").json
        assert len(page["items"]) <= 3
        seen += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == names


@pytest.mark.parametrize("path", ["/tokens", "/projects/main/api-keys", "/audit"])
def test_small_and_long_lists_page_alike(api: ApiWorld, people: ApiPeople, path: str) -> None:
    owner = api.person(people.owner)
    for number in range(3):
        owner.post("/tokens", {"name": f"t{number}"})
        owner.post("/projects/main/api-keys", {"name": f"k{number}"})
    whole = [item["id"] for item in owner.get(f"{path}?limit=100").json["items"]]
    first = owner.get(f"{path}?limit=2").json
    second = owner.get(f"{path}?limit=100&cursor={first['next_cursor']}").json
    assert [item["id"] for item in first["items"] + second["items"]] == whole


def test_a_cursor_of_another_list_is_refused(api: ApiWorld, people: ApiPeople) -> None:
    owner = api.person(people.owner)
    owner.post("/tokens", {"name": "second"})
    cursor = owner.get("/tokens?limit=1").json["next_cursor"]
    assert owner.get(f"/functions?cursor={cursor}").json["code"] == "bad_cursor"


def test_only_wanted_fields_are_sent(api: ApiWorld, people: ApiPeople) -> None:
    api.world.functions.create(people.owner, project="main", name="orders")
    page = api.person(people.owner).get("/functions?fields=name,latest").json
    assert page["items"] == [{"name": "orders", "latest": 0}]


@given(st.one_of(st.integers(), st.text(), st.lists(st.integers())), st.text(max_size=20))
def test_what_is_sealed_opens_in_its_list_alone(position: object, scope: str) -> None:
    cursors = Cursors(b"key")
    sealed = cursors.seal(scope, position)
    assert cursors.open(scope, sealed) == position
    with pytest.raises(BadCursor):
        cursors.open(scope + "x", sealed)
    with pytest.raises(BadCursor):
        Cursors(b"other").open(scope, sealed)


@given(st.text(max_size=60))
def test_no_text_that_was_not_sealed_opens(text: str) -> None:
    with pytest.raises(BadCursor):
        Cursors(b"key").open("list", text)
