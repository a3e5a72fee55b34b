"""Authoring on the command line: finding and describing, draft files, runs, previews, `ingot dev`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.api_fixtures import ApiPeople
from tests.support.live_api import CommandLine, LiveApi


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a function's folder."""
    path = tmp_path / "orders"
    path.mkdir()
    (path / "function.py").write_text("x = 1\n")
    (path / "ingot.json").write_text("{}")
    return path


@pytest.fixture
def author(live: LiveApi, people: ApiPeople, tmp_path: Path) -> CommandLine:
    line = live.as_(people.author, tmp_path / "author")
    line.ok("function", "create", "orders")
    return line


def test_functions_are_found_described_retired_and_restored(
    live: LiveApi, people: ApiPeople, author: CommandLine, tmp_path: Path
) -> None:
    author.ok("function", "create", "sums", "--title", "Sums of all")
    assert [one["name"] for one in author.json("function", "list", "--sort", "-name")] == ["sums", "orders"]
    assert [one["name"] for one in author.json("function", "list", "--search", "of all")] == ["sums"]
    described = author.json(
        "function", "describe", "orders", "--description", "Adds.", "--label", "team=shop", "--label", "x="
    )
    assert (described["description"], described["labels"]) == ("Adds.", {"team": "shop", "x": ""})
    operator = live.as_(people.operator, tmp_path / "operator")
    assert operator.run("function", "retire", "orders").exit_code == 2, "it asks, and nobody answers"
    operator.ok("function", "retire", "orders", "--yes")
    assert [one["name"] for one in author.json("function", "list", "--state", "removed")] == ["orders"]
    assert operator.json("function", "restore", "orders")["state"] == "idle"


def test_draft_files_are_listed_renamed_and_deleted(author: CommandLine, folder: Path) -> None:
    author.ok("draft", "push", "orders", "--folder", str(folder))
    assert author.json("draft", "rename", "orders", "function.py", "main.py")["revision"] == 4
    author.ok("draft", "delete", "orders", "ingot.json")
    assert [file["path"] for file in author.json("draft", "files", "orders")] == ["main.py"]
    assert author.run("draft", "delete", "orders", "none.py").exit_code == 4


def test_a_run_goes_on_by_itself(live: LiveApi, author: CommandLine, folder: Path) -> None:
    author.ok("draft", "push", "orders", "--folder", str(folder))
    live.api.world.run_executor.held = True
    run = author.json("test", "orders", "--detach")["id"]
    assert author.json("test-run", "get", "orders", run)["state"] == "running"
    assert author.json("test-run", "cancel", "orders", run)["state"] == "cancelled"
    assert [one["id"] for one in author.json("test-run", "list", "orders")] == [run]


def test_versions_are_found_by_package_and_deprecated_with_a_reason(
    live: LiveApi, people: ApiPeople, author: CommandLine, folder: Path, tmp_path: Path
) -> None:
    (folder / "requirements.txt").write_text("numpy==2.0")
    author.ok("draft", "push", "orders", "--folder", str(folder))
    author.ok("freeze", "orders")
    assert [one["number"] for one in author.json("version", "with", "NumPy", "--version", "2.0")] == [1]
    assert author.json("version", "with", "numpy", "--version", "1.0") == []
    operator = live.as_(people.operator, tmp_path / "operator")
    operator.ok("version", "deprecate", "orders", "1", "--reason", "CVE-2026-1")
    assert "CVE-2026-1" in author.ok("version", "list", "orders", "--state", "deprecated")
    assert operator.run("version", "retire", "orders", "1").exit_code == 2
    assert operator.json("--yes", "version", "retire", "orders", "1")["state"] == "retired"


def test_a_preview_is_started_listed_and_ended(author: CommandLine, folder: Path) -> None:
    author.ok("draft", "push", "orders", "--folder", str(folder))
    made = author.json("preview", "start", "orders")
    assert made["key"].startswith("ing_preview_")
    assert [one["id"] for one in author.json("preview", "list", "orders")] == [made["id"]]
    author.ok("preview", "end", "orders", made["id"])
    assert author.json("preview", "list", "orders") == []


def turns(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
    """Let `ingot dev` do these between its looks, then stop it as Ctrl-C does."""
    left = list(steps)

    def wait(_wake: object, _seconds: float) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    monkeypatch.setattr("control_plane.cli.dev.FolderWake.wait", wait)
    monkeypatch.setattr("control_plane.cli.dev.signal.signal", lambda *_: None)


def events(output: str, kind: str) -> list[dict[str, object]]:
    return [event for line in output.splitlines() if (event := json.loads(line))["event"] == kind]


def test_dev_sends_what_changed_and_ends_its_preview(
    live: LiveApi, author: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = live.api.world
    # The worker of this test: what the api waits for is wanted by then.
    prepare = world.runtime.prepare
    monkeypatch.setattr(world.runtime, "prepare", lambda *given: (world.settle(), prepare(*given))[1])
    turns(
        monkeypatch,
        lambda: (folder / "function.py").write_text("x = 22\n"),
        lambda: (folder / "more.py").write_text("y = 1\n"),
        (folder / "more.py").unlink,
    )
    output = author.ok("-o", "json", "dev", "orders", "--folder", str(folder))
    (preview,) = events(output, "preview")
    assert str(preview["key"]) not in str(events(output, "reloaded"))
    assert [(event["changed"], event["ok"]) for event in events(output, "reloaded")] == [
        (["function.py", "ingot.json"], True),
        (["function.py"], True),
        (["more.py"], True),
        (["more.py"], True),
    ]
    assert author.json("preview", "list", "orders") == []
    assert "same files" in author.run("draft", "status", "orders", "--folder", str(folder)).stderr
    assert author.run("draft", "push", "orders", "--folder", str(folder)).exit_code == 0, "the link is kept"


def test_dev_says_what_is_refused_and_takes_the_next_edit(
    live: LiveApi, author: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = live.api.world
    prepare = world.runtime.prepare
    monkeypatch.setattr(world.runtime, "prepare", lambda *given: (world.settle(), prepare(*given))[1])
    bad = folder / "tab\there.py"
    turns(
        monkeypatch,
        lambda: (bad.write_text("1"), (folder / "function.py").write_text("x = 22\n")),
        lambda: None,
        bad.unlink,
    )
    output = author.ok("-o", "json", "dev", "orders", "--folder", str(folder), "--keep")
    assert len(events(output, "refused")) == 1, "what was refused is not sent again unchanged"
    assert events(output, "reloaded")[-1]["changed"] == ["function.py"]
    assert len(author.json("preview", "list", "orders")) == 1


def test_dev_stops_when_somebody_else_changed_the_draft(
    live: LiveApi, people: ApiPeople, author: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = live.api.world
    turns(
        monkeypatch,
        lambda: (
            world.drafted(people.owner, "orders", "theirs = 1\n"),
            (folder / "function.py").write_text("mine = 1\n"),
        ),
    )
    result = author.run("dev", "orders", "--folder", str(folder))
    assert (result.exit_code, "Somebody else" in result.stderr) == (5, True), result.stderr
    assert world.drafts.read(people.owner, "orders", "function.py") == b"theirs = 1\n"
