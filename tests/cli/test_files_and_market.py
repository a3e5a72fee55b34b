"""Values, files, shares and the market on the command line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from control_plane.domain.identity import ReviewPolicy
from tests.api.test_access import make_stranger
from tests.support.api_fixtures import ApiPeople
from tests.support.live_api import LiveApi


class _Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.headers["Content-Type"].encode() + b" " + body
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def echoing() -> Iterator[str]:
    """Serve, in the place of the functions' origin, what answers with its request."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


def test_a_secret_is_rotated_without_ever_being_an_argument(
    live: LiveApi, people: ApiPeople, tmp_path: Path
) -> None:
    operator, world = live.as_(people.operator, tmp_path / "o"), live.api.world
    assert operator.run("secret", "set", "TOKEN", "hunter2").exit_code == 2
    operator.ok("secret", "set", "TOKEN", stdin="hunter2\n")
    version = world.frozen(people.author, secrets=["TOKEN"])
    world.approved(people.author, people.reviewer, version)
    world.released(people.operator, version)
    (tmp_path / "value").write_text("hunter3")
    rotated = operator.run("secret", "set", "TOKEN", "--file", str(tmp_path / "value"))
    assert "Release 1 of orders still holds version 1." in rotated.stderr
    assert [row["number"] for row in operator.json("secret", "versions", "TOKEN")] == [2, 1]
    shown = operator.json("secret", "get", "TOKEN")
    assert (shown["value"], shown["used_by"][0]["outdated"]) == (None, True)
    refused = operator.run("--yes", "secret", "rm", "TOKEN")
    assert (refused.exit_code, "orders (release 1)" in refused.stderr) == (5, True)
    assert [row["name"] for row in operator.json("secret", "list")] == ["TOKEN"]
    for said in (rotated.output, refused.output):
        assert "hunter" not in said


def test_a_setting_of_one_function(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    operator = live.as_(people.operator, tmp_path / "o")
    live.api.world.functions.create(people.author, project="main", name="orders")
    operator.ok("setting", "set", "API_URL", "all")
    operator.ok("setting", "set", "API_URL", "mine", "--function", "orders")
    operator.ok("setting", "set", "API_URL", "newer", "--function", "orders")
    own = operator.json("setting", "get", "API_URL", "--function", "orders")
    assert (own["value"], own["number"]) == ("newer", 2)
    assert operator.json("setting", "get", "API_URL")["value"] == "all"
    versions = operator.json("setting", "versions", "API_URL", "--function", "orders")
    assert [row["value"] for row in versions] == ["newer", "mine"]
    assert operator.run("setting", "rm", "API_URL").exit_code == 2, "removing asks, and nobody answers"
    operator.ok("--yes", "setting", "rm", "API_URL")
    assert [row["value"] for row in operator.json("setting", "list")] == ["newer"]


def test_a_file_goes_and_comes(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    author = live.as_(people.author, tmp_path / "a")
    source, target = tmp_path / "orders.csv", tmp_path / "copy.csv"
    source.write_bytes(b"a,b\n" * 100)
    file = author.ok("file", "put", str(source)).strip()
    shown = author.json("file", "get", file)
    assert (shown["name"], shown["size"], shown["state"]) == ("orders.csv", 400, "stored")
    author.ok("file", "get", file, "--save", str(target))
    assert target.read_bytes() == source.read_bytes()
    assert author.ok("file", "get", file, "--link").startswith(f"{live.url}/api/v1/files/{file}/content?")
    assert (
        author.json("file", "list", "--name", "no") == author.json("file", "list", "--state", "waiting") == []
    )
    listed = author.run("-o", "json", "file", "list", "--state", "stored")
    assert "1 of 8 files, 400 of 5,000 bytes." in listed.stderr
    author.ok("--yes", "file", "rm", file)
    assert author.run("file", "get", file).exit_code == 4
    source.write_bytes(b"x" * 1_001)
    refused = author.run("file", "put", str(source))
    assert (refused.exit_code, "1,000 is the most" in refused.stderr) == (1, True)


def test_a_damaged_download_is_not_kept(
    live: LiveApi, people: ApiPeople, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = live.as_(people.author, tmp_path / "a")
    source = tmp_path / "a.csv"
    source.write_bytes(b"good")
    file = author.ok("file", "put", str(source)).strip()
    live.api.world.file_bytes.contents[file] = b"evil"
    damaged = author.run("file", "get", file, "--save", str(tmp_path / "copy"))
    assert (damaged.exit_code, "damaged" in damaged.stderr) == (6, True)
    assert not (tmp_path / "copy").exists()


def test_a_function_is_shared_found_installed_and_updated(
    live: LiveApi, people: ApiPeople, tmp_path: Path
) -> None:
    world = live.api.world
    owner = live.as_(people.owner, tmp_path / "o")
    world.frozen(people.author, "orders", description="Adds up")
    blindly = ("share", "create", "orders", "--with", "everyone", "--unreviewed")
    assert owner.run(*blindly).exit_code == 5, "nobody approved it, and the project asks for that"
    world.projects.set_policy(people.owner, "main", ReviewPolicy(approvals=0), if_match="p1")
    assert owner.run(*blindly[:-1]).exit_code == 5, "nobody said that it is unreviewed"
    made = owner.json(
        "share",
        "create",
        "orders",
        "--with",
        "everyone",
        "--tag",
        "money",
        "--unreviewed",
        "--summary",
        "Sums",
    )
    other = make_stranger(live.api)
    stranger = live.as_(other, tmp_path / "s")
    assert [row["id"] for row in stranger.json("market", "search", "sum", "--tag", "money")] == [made["id"]]
    assert "Sums" in stranger.ok("market", "show", "acme/orders")
    careful = stranger.run("--yes", "market", "install", "acme/orders", "--name", "mine")
    assert (careful.exit_code, "asks for approvals" in careful.stderr) == (5, True)
    world.projects.set_policy(other, "main", ReviewPolicy(approvals=0), if_match="p1")
    assert stranger.run("market", "install", "acme/orders").exit_code == 2, "unreviewed: it asks"
    installed = stranger.json("--yes", "market", "install", "acme/orders", "--name", "mine")
    assert installed["name"] == "mine"
    assert stranger.run("--yes", "market", "install", made["id"], "--name", "mine").exit_code == 5
    world.frozen(people.author, "orders", "x = 2\n")
    owner.ok("share", "update", "orders", "--unreviewed")
    assert stranger.json("market", "installed")[0]["newer_number"] == 2
    stranger.ok("--yes", "market", "update", "mine")
    assert "Nothing newer" in stranger.run("market", "update", "mine").stderr
    assert owner.json("share", "list")[0]["tags"] == ["money"]
    assert owner.run("--yes", "share", "rm", "invoices").exit_code == 4
    owner.ok("--yes", "share", "rm", "ord")
    assert stranger.run("market", "show", "acme/orders").exit_code == 4


def test_a_folder_begins_from_a_shared_starter(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    owner = live.as_(people.owner, tmp_path / "o")
    version = live.api.world.frozen(people.author, "template")
    live.api.world.approved(people.author, people.reviewer, version)
    owner.ok("share", "create", "template", "--with", "organization", "--starter")
    author = live.as_(people.author, tmp_path / "a")
    folder = tmp_path / "fresh"
    author.ok("init", "fresh", "--starter", "acme/template", "--folder", str(folder))
    assert (folder / "function.py").read_text() == "x = 1\n"


def test_a_file_is_the_body_of_a_call(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    author = live.as_(people.author, tmp_path / "a")
    source = tmp_path / "orders.csv"
    source.write_bytes(b"a,b\n")
    file = author.ok("file", "put", str(source)).strip()
    with echoing() as address:
        answer = author.ok("invoke", "acme/orders", "--file", file, "--address", address)
    assert answer == "text/csv a,b\n"
    both = author.run("invoke", "orders", "--data", "{}", "--file", "file_1")
    assert (both.exit_code, "either" in both.stderr) == (2, True)
