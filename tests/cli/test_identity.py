"""Organizations, departments, projects, members, sessions and tokens on the command line."""

from __future__ import annotations

from pathlib import Path

from control_plane.domain.access import Role
from tests.support.api_fixtures import ApiPeople
from tests.support.builders import PASSWORD
from tests.support.live_api import LiveApi


def test_organizations_departments_and_projects(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    owner = live.as_(people.owner, tmp_path / "o")
    assert owner.json("organization", "create", "other", "--title", "Other")["name"] == "other"
    assert [row["name"] for row in owner.json("organization", "list")] == ["acme", "other"]
    assert owner.json("organization", "get")["name"] == "acme"
    assert owner.json("organization", "set", "--title", "Acme Ltd")["title"] == "Acme Ltd"
    sales = owner.json("department", "create", "sales", "--title", "Sales")
    north = owner.json("department", "create", "north", "--parent", "sales")
    assert north["parent"] == sales["id"]
    assert owner.json("department", "get", "north")["id"] == north["id"]
    assert owner.json("department", "set", "north", "--title", "North")["title"] == "North"
    shop = owner.json("project", "create", "shop", "--department", "north", "--approvals", "0")
    assert (shop["department"], shop["policy"]["approvals"]) == (north["id"], 0)
    assert [row["name"] for row in owner.json("project", "list", "--department", "sales")] == ["shop"]
    moved = owner.json("project", "set", "shop", "--department", "", "--title", "Shop")
    assert (moved["department"], moved["title"]) == ("", "Shop")
    assert owner.json("project", "get", "shop")["scope"] == f"/{people.owner.organization}/{shop['id']}"
    assert owner.run("department", "remove", "sales").exit_code == 2, "it asks, and nobody answers"
    assert owner.run("--yes", "department", "remove", "sales").exit_code == 5
    owner.ok("--yes", "department", "remove", "north")
    assert "sales" in owner.ok("department", "list")
    author = live.as_(people.author, tmp_path / "a")
    assert author.run("organization", "create", "mine").exit_code == 3
    assert author.run("department", "create", "mine").exit_code == 3


def test_members_and_why_they_may(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    owner = live.as_(people.owner, tmp_path / "o")
    owner.ok("department", "create", "sales")
    one_time = owner.ok("member", "invite", "new@acme.example", "--role", "author", "--department", "sales")
    assert one_time.startswith("once_")
    user = next(row["id"] for row in owner.json("member", "list") if row["email"] == "new@acme.example")
    owner.ok("member", "grant", user, "--role", "billing")
    owner.ok("member", "grant", user, "--role", "viewer", "--system")
    assert [row["id"] for row in owner.json("member", "list", "--search", "NEW@")] == [user]
    assert user not in {row["id"] for row in owner.json("member", "list", "--disabled")}
    assert owner.run("member", "list", "--system", "--disabled").exit_code == 2
    assert {row["id"] for row in owner.json("member", "list", "--system")} == {people.owner.user, user}
    owner.ok("--yes", "member", "revoke", user, "--role", "viewer", "--system")
    owner.ok("--yes", "member", "revoke", user, "--role", "author", "--department", "sales")
    assert "billing" in owner.ok("member", "get", user)
    told = owner.run("member", "explain", "new@acme.example", "release:write", "--scope", "main")
    assert "may not release:write" in told.stdout
    assert "one of operator" in told.stderr
    assert owner.json("member", "explain", user, "usage:read")["allowed"] is True
    owner.ok("--yes", "member", "disable", user)
    assert "disabled here" in owner.ok("member", "explain", user, "usage:read")
    owner.ok("member", "enable", user)
    owner.ok("--yes", "member", "remove", user)
    assert owner.run("member", "get", user).exit_code == 4
    assert "review:decide" in owner.ok("member", "roles")
    assert {row["name"] for row in owner.json("member", "roles")} == set(Role)
    last = owner.run("--yes", "member", "revoke", people.owner.user, "--role", "owner")
    assert (last.exit_code, "at least one owner" in last.stderr) == (5, True)


def test_sessions_and_tokens(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    author = live.as_(people.author, tmp_path / "a")
    opened = live.api.world.sessions.login(email=people.author.email, password=PASSWORD)
    assert opened.session.id in author.ok("session", "list")
    author.ok("--yes", "session", "revoke", opened.session.id)
    assert author.run("session", "revoke").exit_code == 2
    author.ok("--yes", "session", "revoke", "--all")
    assert author.json("session", "list") == []
    text = author.ok(
        "token", "create", "ci", "--permission", "project:read", "--project", "main", "--days", "7"
    )
    robot = live.as_(None, tmp_path / "r")
    robot.token = text.strip()
    assert [row["name"] for row in robot.json("project", "list")] == ["main"]
    assert robot.run("function", "create", "orders").exit_code == 3
    listed = {row["name"]: row for row in author.json("token", "list")}
    assert (listed["ci"]["carries"].startswith("project:read at /"), listed["cli"]["carries"]) == (
        True,
        "everything",
    )
    author.ok("--yes", "token", "revoke", listed["ci"]["id"])
    assert robot.run("project", "list").exit_code == 3
