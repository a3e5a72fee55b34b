"""The slice on the command line: from signing in to a rollback."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from control_plane.errors import Invalid
from tests.support.api_fixtures import ApiPeople
from tests.support.builders import PASSWORD
from tests.support.live_api import CommandLine, LiveApi


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a function's folder."""
    path = tmp_path / "orders"
    path.mkdir()
    (path / "function.py").write_text("x = 1\n")
    (path / "ingot.json").write_text("{}")
    (path / "__pycache__").mkdir()
    (path / "__pycache__" / "function.pyc").write_bytes(b"cache")
    return path


def test_signing_in_keeps_a_token_that_only_its_owner_reads(
    live: LiveApi, people: ApiPeople, tmp_path: Path
) -> None:
    line = live.as_(None, tmp_path / "home")
    line.ok("login", "--email", "owner@acme.example", "--password-stdin", stdin=PASSWORD + "\n")
    kept = tmp_path / "home" / "profiles.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert PASSWORD not in kept.read_text()
    assert line.json("whoami")["user"]["email"] == "owner@acme.example"
    token = json.loads(kept.read_text())["profiles"][live.url]["token"]
    line.ok("logout")
    assert line.run("whoami").exit_code == 3
    assert CommandLine(live.url, tmp_path / "other", token).run("whoami").exit_code == 3


def test_a_one_time_password_is_changed_while_signing_in(
    live: LiveApi, people: ApiPeople, tmp_path: Path
) -> None:
    owner = live.as_(people.owner, tmp_path / "owner")
    one_time = owner.ok("member", "invite", "new@acme.example", "--role", "viewer").strip()
    line = live.as_(None, tmp_path / "new")
    line.environment["INGOT_NEW_PASSWORD"] = "a sentence of my own"
    line.ok("login", "--email", "new@acme.example", "--password-stdin", stdin=one_time)
    assert line.json("whoami")["must_change_password"] is False
    assert (
        owner.run("login", "--email", "new@acme.example", "--password-stdin", stdin=one_time).exit_code == 3
    )


def test_a_function_goes_from_its_folder_to_a_canary_and_back(
    live: LiveApi, people: ApiPeople, tmp_path: Path, folder: Path
) -> None:
    author = live.as_(people.author, tmp_path / "a")
    reviewer, operator = live.as_(people.reviewer, tmp_path / "r"), live.as_(people.operator, tmp_path / "o")
    at = ("--folder", str(folder))
    assert author.json("function", "create", "orders")["path"] == "/acme/orders"
    author.ok("draft", "push", "orders", *at)
    assert "same files" in author.run("draft", "status", *at).stderr
    result = author.run("test", "orders", "--data", '{"a": 1}')
    assert (result.exit_code, result.stdout) == (0, "{}"), (result.stderr, result.exception)
    assert "Status 200" in result.stderr
    assert author.json("freeze", "orders")["number"] == 1
    review = author.json("submit", "orders", "--note", "first")["id"]
    assert author.run("review", "approve", review, "--digest", "sha256:" + "0" * 64).exit_code == 3
    assert review in reviewer.ok("review", "list")
    shown = reviewer.json("review", "show", review)
    assert reviewer.json("review", "show", "orders") == shown, "the function's only one that waits"
    assert {file["path"] for file in shown["diff"]["files"]} == {"function.py", "ingot.json"}
    assert reviewer.run("review", "approve", review).exit_code == 2, "approving asks, and nobody answers"
    assert reviewer.run("review", "approve", review, "--digest", "sha256:" + "0" * 64).exit_code == 5
    assert reviewer.json("review", "approve", review, "--digest", shown["digest"])["state"] == "approved"
    none = reviewer.run("review", "show", "orders")
    assert (none.exit_code, "No review of orders waits" in none.stderr) == (4, True), none.stderr
    with worker(live):
        assert operator.json("release", "create", "orders")["state"] == "live"
        (folder / "function.py").write_text("x = 2\n")
        author.ok("draft", "push", *at)
        author.ok("freeze", "orders")
        second = author.json("submit", "orders")
        reviewer.ok("--yes", "review", "approve", second["id"])
        canary = operator.json("release", "create", "orders", "--canary", "10")
        assert [(part["number"], part["percent"]) for part in canary["parts"]] == [(1, 90), (2, 10)]
        assert operator.run("release", "rollback", "orders").exit_code == 2
        assert operator.json("--yes", "release", "rollback", "orders")["rollback_of"] == 1
    assert "-x = 1" in author.ok("version", "diff", "orders", "2")
    assert [row["number"] for row in operator.json("release", "list", "orders")] == [3, 2, 1]
    assert "x = 1" not in author.ok("version", "get", "orders", "1", "--part", "manifest")
    key = operator.ok("key", "create", "shop", "--function", "orders").strip()
    assert key.startswith("ing_live_")
    listed = operator.json("key", "list")
    assert key not in json.dumps(listed)
    operator.ok("--yes", "key", "revoke", listed[0]["id"])
    operator.ok("setting", "set", "API_URL", "https://example.org")
    operator.ok("secret", "set", "API_TOKEN", stdin="hunter2")
    values = {row["name"]: row["value"] for row in operator.json("setting", "list")}
    assert values == {"API_URL": "https://example.org", "API_TOKEN": None}
    owner = live.as_(people.owner, tmp_path / "w")
    assert owner.json("audit", "verify")["intact"] is True
    assert "review.approve" in owner.ok("audit", "list")
    assert owner.json("usage") == []
    assert owner.json("usage", "reconcile")["agrees"] is True
    assert owner.json("invocation", "list") == []
    assert owner.json("openapi")["openapi"].startswith("3.1")


class worker:  # noqa: N801  (reads as a word in `with worker(live)`)
    """Lets the reconciler step while commands wait for it."""

    def __init__(self, live: LiveApi) -> None:
        self._world = live.api.world
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            self._world.settle()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10)


def test_a_push_never_overwrites_what_it_has_not_seen(
    live: LiveApi, people: ApiPeople, tmp_path: Path, folder: Path
) -> None:
    one, two = live.as_(people.author, tmp_path / "a"), live.as_(people.owner, tmp_path / "b")
    one.ok("function", "create", "orders")
    one.ok("draft", "push", "orders", "--folder", str(folder))
    copy = tmp_path / "copy"
    two.ok("draft", "pull", "orders", "--folder", str(copy))
    assert (copy / "function.py").read_text() == "x = 1\n"
    (copy / "function.py").write_text("x = 3\n")
    two.ok("draft", "push", "--folder", str(copy))
    (folder / "function.py").write_text("x = 2\n")
    late = one.run("draft", "push", "--folder", str(folder))
    assert (late.exit_code, "changed the draft" in late.stderr) == (5, True), late.stderr
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "function.py").write_text("x = 4\n")
    blind = one.run("draft", "push", "orders", "--folder", str(stranger))
    assert (blind.exit_code, "never seen" in blind.stderr) == (5, True)
    one.ok("draft", "push", "--force", "--folder", str(folder))
    assert live.api.world.drafts.read(people.owner, "orders", "function.py") == b"x = 2\n"


def test_links_are_not_pushed(live: LiveApi, people: ApiPeople, tmp_path: Path, folder: Path) -> None:
    (folder / "passwd").symlink_to("/etc/passwd")
    line = live.as_(people.author, tmp_path / "a")
    line.ok("function", "create", "orders")
    result = line.run("draft", "push", "orders", "--folder", str(folder))
    assert (result.exit_code, "symbolic link" in result.stderr) == (2, True)


def test_logs_are_shown_oldest_first(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    made = live.api.world.functions.create(people.author, project="main", name="orders")
    live.api.logs.records[made.id] = [
        {"ts": "t1", "level": "info", "request_id": "r1", "message": "first\x1b[31m"},
        {
            "ts": "t2",
            "level": "error",
            "request_id": "r2",
            "message": "second",
            "fields": {"traceback": "Traceback:\n  File x\x1b[2J", "orders": 3},
        },
    ]
    line = live.as_(people.author, tmp_path / "a")
    lines = line.ok("logs", "orders").splitlines()
    assert [text.split()[0] for text in lines] == ["t1", "t2", "Traceback:", "File"]
    assert lines[1].endswith("second  orders=3")
    assert "\x1b" not in "".join(lines)
    assert "first" not in line.ok("logs", "orders", "--request", "r2")
    assert live.as_(people.reviewer, tmp_path / "r").run("logs", "orders").exit_code == 3


def test_a_push_whose_dependencies_do_not_resolve_may_be_repeated(
    live: LiveApi, people: ApiPeople, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = live.as_(people.author, tmp_path / "a")
    author.ok("function", "create", "orders")
    with monkeypatch.context() as broken:
        broken.setattr(live.api.world.builder, "lock", _refuse)
        refused = author.run("draft", "push", "orders", "--folder", str(folder))
    assert (refused.exit_code, "requets" in refused.stderr) == (1, True), refused.stderr
    (folder / "function.py").write_text("x = 2\n")
    author.ok("draft", "push", "--folder", str(folder))
    assert live.api.world.drafts.read(people.owner, "orders", "function.py") == b"x = 2\n"


def _refuse(*_: object) -> str:
    raise Invalid("There is no package “requets”.", field="requirements.txt")
