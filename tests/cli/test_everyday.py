"""What people do every day on the command line, and the answers to what they get wrong."""

from __future__ import annotations

from pathlib import Path

from tests.support.api_fixtures import ApiPeople
from tests.support.builders import PASSWORD
from tests.support.live_api import LiveApi

NEW = "a much better sentence than that"


def test_a_password_is_changed_with_the_present_one(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    author = live.as_(people.author, tmp_path)
    wrong = author.run("password", "--password-stdin", stdin=f"wrong\n{NEW}\n")
    assert (wrong.exit_code, "current password is wrong" in wrong.stderr) == (3, True), wrong.stderr
    assert "/current_password" not in wrong.stderr, "one fault is said once"
    same = author.run("password", "--password-stdin", stdin=f"{PASSWORD}\n{PASSWORD}\n")
    assert (same.exit_code, "Hint:" in same.stderr) == (1, True)
    author.ok("password", "--password-stdin", stdin=f"{PASSWORD}\n{NEW}\n")
    fresh = live.as_(None, tmp_path / "fresh")
    fresh.ok("login", "--email", people.author.email, "--password-stdin", stdin=f"{NEW}\n")
    gone = fresh.run("login", "--email", people.author.email, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert gone.exit_code == 3


def test_starters_are_listed_shared_ones_too(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    world = live.api.world
    version = world.frozen(people.author)
    world.approved(people.author, people.reviewer, version)
    author = live.as_(people.author, tmp_path)
    author.ok(
        "share", "create", "orders", "--with", "organization", "--starter", "--summary", "To begin from"
    )
    rows = {row["name"]: row for row in author.json("starter", "list")}
    assert rows["hello"]["description"]
    assert rows["acme/orders"]["description"] == "To begin from"
    nobody = live.as_(None, tmp_path / "nobody")
    assert "acme/orders" not in nobody.ok("starter", "list")
    assert "hello" in nobody.ok("starter", "list")


def test_single_draft_files_are_read_and_written(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    author = live.as_(people.author, tmp_path)
    author.ok("function", "create", "orders")
    file = tmp_path / "main.py"
    file.write_text("def execute(input, context):\n    return 1\n")
    author.ok("draft", "put", "orders", "main.py", str(file))
    author.ok("draft", "put", "orders", "data/a b.txt", "-", stdin="hello")
    assert author.ok("draft", "get", "orders", "main.py") == file.read_text()
    assert author.ok("draft", "get", "orders", "data/a b.txt") == "hello"
    author.ok("draft", "get", "orders", "main.py", "--save", str(tmp_path / "copy.py"))
    assert (tmp_path / "copy.py").read_bytes() == file.read_bytes()
    author.ok("draft", "rename", "orders", "data/a b.txt", "b.txt")
    assert author.json("draft", "lock", "orders")["locked"] is True
    for words in (("get", "orders", "none.py"), ("delete", "orders", "none.py")):
        missing = author.run("draft", *words)
        assert (missing.exit_code, "Hint:" in missing.stderr) == (4, True), missing.stderr
    outside = author.run("draft", "put", "orders", "../x", "-", stdin="x")
    assert outside.exit_code == 1


def test_events_are_listed_in_order(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    author = live.as_(people.author, tmp_path)
    author.ok("function", "create", "orders")
    while live.api.world.events.sequence():
        pass
    rows = author.json("event", "list")
    assert "dev.ingot.function.created.v1" in [row["type"] for row in rows]
    assert [row["sequence"] for row in rows] == sorted(row["sequence"] for row in rows)
    kinds = {row["type"] for row in author.json("event", "list", "--type", "function")}
    assert kinds == {row["type"] for row in rows if ".function." in row["type"]}
    about = author.json("event", "list", "--subject", rows[-1]["subject"], "--since", rows[-1]["time"])
    assert rows[-1] in about
    assert author.run("event", "list", "--type", "nothing").exit_code == 1
    later = author.json("event", "list", "--after", str(rows[-2]["sequence"]))
    assert [row["id"] for row in later] == [rows[-1]["id"]]
    cut = author.run("event", "list", "--limit", "1")
    assert f"--after {rows[0]['sequence']}" in cut.stderr


def test_a_key_for_a_function_needs_no_project(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    world = live.api.world
    world.projects.create(people.owner, name="second")
    world.frozen(people.author)
    operator = live.as_(people.operator, tmp_path)
    made = operator.json("key", "create", "mine", "--function", "orders")
    assert made["key"]["project"] == world.projects.get(people.owner, "main").id
    several = operator.run("key", "create", "mine")
    assert (several.exit_code, "--project" in several.stderr) == (2, True)


def test_places_are_shown_in_words(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    owner = live.as_(people.owner, tmp_path)
    owner.ok("department", "create", "sales")
    owner.ok("department", "create", "north", "--parent", "sales")
    owner.ok("project", "create", "shop", "--department", "north", "--approvals", "2")
    owner.ok("member", "grant", people.author.email, "--role", "viewer", "--project", "shop")
    assert "viewer of acme/sales/north/shop" in owner.ok("member", "get", people.author.email)
    projects = owner.ok("project", "list").splitlines()
    assert [line.split()[1:5] for line in projects if "shop" in line] == [["shop", "shop", "north", "2"]]
    departments = owner.ok("department", "list").splitlines()
    assert [line.split()[1:4] for line in departments if "north" in line] == [["north", "north", "sales"]]
    assert "{" not in "".join(projects + departments)
    told = owner.ok("member", "explain", people.author.email, "function:read", "--scope", "shop")
    assert f"{people.author.email} may function:read at acme/sales/north/shop." in told
    assert owner.ok("audit", "list", "--actor", people.owner.email).count("member.grant") == 1


def test_usage_of_one_function_or_span(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    live.api.world.frozen(people.author)
    author = live.as_(people.author, tmp_path)
    for words in (
        ("--function", "orders"),
        ("--project", "main"),
        ("--key", "key_1"),
        ("--from", "2026-01-01T00:00:00Z"),
    ):
        assert author.json("usage", *words) == [], words
    unknown = author.run("usage", "--function", "none")
    assert (unknown.exit_code, "Hint:" in unknown.stderr) == (4, True)
    wrong = author.run("usage", "--from", "yesterday")
    assert (wrong.exit_code, "2026-" in wrong.stderr) == (1, True), wrong.stderr


def test_a_version_says_what_it_declares(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    live.api.world.frozen(people.author, settings=["COLOUR"])
    shown = live.as_(people.author, tmp_path).ok("version", "get", "orders", "1")
    words = dict(line.split(maxsplit=1) for line in shown.splitlines() if len(line.split()) == 2)
    assert (words["authors"], words["digest"][:7]) == (people.author.email, "sha256:")


def test_a_table_of_keys_says_what_they_may_do(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    live.api.world.frozen(people.author)
    operator = live.as_(people.operator, tmp_path)
    operator.ok("key", "create", "narrow", "--function", "orders", "--mode", "sync", "--from", "10.0.0.0/8")
    operator.ok("key", "create", "wide")
    lines = [line.split() for line in operator.ok("key", "list").splitlines()]
    held = {line[1]: line[3:6] for line in lines[1:]}
    assert held == {"narrow": ["orders", "sync", "10.0.0.0/8"], "wide": ["all", "all", "everywhere"]}
