"""The command itself: fast help, whole help, exit codes, errors, and a page for every command."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from control_plane.cli.failures import ExitCode, exit_code_of
from control_plane.cli.main import COMMANDS, VERSION, cli
from tests.support.api_fixtures import ApiPeople
from tests.support.live_api import CommandLine, LiveApi

DOCS = Path("control_plane/docs")
RUN = [sys.executable, "-c", "from control_plane.cli.main import main; main()"]


def commands(
    group: click.Group, context: click.Context, path: str = "ingot"
) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, context, f"{path} {name}")


def every_command() -> list[tuple[str, click.Command]]:
    return list(commands(cli, click.Context(cli)))


def test_help_is_fast_and_loads_nothing_heavy() -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([*RUN, "--help"], check=True, capture_output=True, timeout=20)
        times.append(time.perf_counter() - start)
    assert statistics.median(times) < 0.3
    heavy = ("httpx", "rich", "flask", "sqlalchemy")
    code = f"import sys, control_plane.cli.main; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=20)
    assert loaded.stdout.decode().strip() == "[]"


def test_the_table_of_helps_says_what_the_commands_say() -> None:
    for name, entry in COMMANDS.items():
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        if entry.module != "control_plane.cli.system":
            assert command.get_short_help_str(200).rstrip(".") in entry.help or command.help, name


def test_the_version_is_the_project_s() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == VERSION


def test_every_command_says_what_it_does() -> None:
    for path, command in every_command():
        assert command.help, path
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{path} {option.name}"


def test_every_command_and_option_is_documented() -> None:
    page = (DOCS / "cli.md").read_text("utf-8")
    for path, command in every_command():
        if command.hidden:
            continue
        assert re.search(rf"`{re.escape(path)}\b[^`]*`", page), f"docs/cli.md does not name {path}"
        for option in command.params:
            if isinstance(option, click.Option):
                flag = max(option.opts, key=len)
                assert flag in page, f"docs/cli.md does not name {flag} of {path}"
    for code in ExitCode:
        assert f"| {int(code)} |" in page, f"docs/cli.md does not explain exit code {int(code)}"


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, 3), (403, 3), (404, 4), (409, 5), (412, 5), (428, 5), (422, 1), (500, 1), (503, 6), (429, 6)],
)
def test_statuses_become_exit_codes(status: int, code: int) -> None:
    assert exit_code_of(status) == code


def test_an_error_is_a_sentence_a_hint_and_the_request(
    live: LiveApi, people: ApiPeople, tmp_path: Path
) -> None:
    line = live.as_(people.author, tmp_path)
    result = line.run("function", "create", "Orders")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is not a usable name" in result.stderr
    assert re.search(r"^Hint: .+\.$", result.stderr, re.MULTILINE)
    assert re.search(r"^Request: req_", result.stderr, re.MULTILINE)
    assert line.run("function", "get", "nothing").exit_code == 4
    assert line.run("function", "get", "fn_none").exit_code == 4
    assert live.as_(people.reviewer, tmp_path).run("function", "create", "orders").exit_code == 3


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    result = CommandLine("http://127.0.0.1:9", tmp_path, "ingt_x").run("whoami")
    assert result.exit_code == 6
    assert "cannot be reached" in result.stderr
    assert "ingot up" in result.stderr


def test_without_a_sign_in_the_hint_says_how(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    result = live.as_(None, tmp_path).run("function", "list")
    assert result.exit_code == 3
    assert "ingot login" in result.stderr or "Sign in" in result.stderr


@pytest.mark.parametrize("url", ["nonsense", "ftp://example.org", "http://"])
def test_an_unusable_address_is_one_sentence(url: str, tmp_path: Path) -> None:
    result = CommandLine(url, tmp_path, "ingt_x").run("whoami")
    assert result.exit_code in {2, 6}, result.exception
    assert "Error:" in result.stderr


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 9}'])
def test_a_damaged_configuration_is_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "profiles.json").write_text(content)
    result = CommandLine("http://127.0.0.1:9", tmp_path).run("whoami")
    assert (result.exit_code, "ingot login" in result.stderr) == (1, True)


def test_names_cannot_write_commands_to_the_terminal(
    live: LiveApi, people: ApiPeople, tmp_path: Path
) -> None:
    line = live.as_(people.author, tmp_path)
    assert json.loads(line.ok("-o", "json", "function", "list")) == []
    from control_plane.cli.output import _cell

    assert _cell("a\x1b]0;title\x07b") == "a�]0;title�b"


def test_init_copies_a_starter_and_names_them(live: LiveApi, people: ApiPeople, tmp_path: Path) -> None:
    line = live.as_(people.author, tmp_path)
    asked = line.run("init", "orders", "--folder", str(tmp_path / "x"))
    assert asked.exit_code == 2
    names = re.findall(r"Choose one of (.+)\.", asked.stderr)[0].split(", ")
    target = tmp_path / "mine"
    line.ok("init", "orders", "--starter", names[0], "--folder", str(target))
    assert any(target.iterdir())
    assert line.run("init", "orders", "--starter", names[0], "--folder", str(target)).exit_code == 5
    assert line.run("init", "Orders!", "--starter", names[0]).exit_code == 2
    assert (
        line.run("init", "orders", "--starter", "../runtimes", "--folder", str(tmp_path / "y")).exit_code == 2
    )
