"""`ingot setting` and `ingot secret`: named values that functions read; secrets are write-only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.output import note, show_list, show_one
from control_plane.cli.references import find_project
from control_plane.cli.state import CliState, confirm, pass_state

if TYPE_CHECKING:
    from control_plane.cli.client import Client

__all__ = ["secret", "setting"]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_COLUMNS = ("kind", "name", "stage", "function", "value", "number", "created_at")


def _placed(command: _Command) -> _Command:
    """Add the options that say which of a name's values is meant."""
    for option in (
        click.option("--project", help="Name or id of the project; not needed when there is one only."),
        click.option("--function", default="", help="The one function that reads it; default: all."),
        click.option(
            "--stage",
            type=click.Choice(["live", "test"]),
            default="live",
            show_default=True,
            help="Who reads it.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def setting() -> None:
    """Set values that functions read."""


@click.group()
def secret() -> None:
    """Set values that functions read and people cannot."""


@setting.command("set")
@click.argument("name")
@click.argument("value", required=False)
@click.option("--file", type=click.File("rb"), help="Read the value from this file.")
@_placed
@pass_state
def set_setting(state: CliState, /, name: str, value: str | None, file: Any, **place: str) -> None:
    """Set NAME to VALUE; without VALUE it is read from --file or standard input."""
    _set(state, "settings", name, _read(file, hidden=False) if value is None else value, place)


@secret.command("set")
@click.argument("name")
@click.option("--file", type=click.File("rb"), help="Read the value from this file.")
@_placed
@pass_state
def set_secret(state: CliState, /, name: str, file: Any, **place: str) -> None:
    """Set NAME, or rotate it; the value is read from --file or standard input, never an argument."""
    _set(state, "secrets", name, _read(file, hidden=True), place)


@setting.command("list")
@click.option("--project", help="Name or id of the project; not needed when there is one only.")
@click.option("--function", default="", help="Only what this function may bind.")
@pass_state
def list_settings(state: CliState, project: str | None, function: str) -> None:
    """List the settings and the names of the secrets."""
    show_list(state, _list(state, project, function), _COLUMNS)


@secret.command("list")
@click.option("--project", help="Name or id of the project; not needed when there is one only.")
@click.option("--function", default="", help="Only what this function may bind.")
@pass_state
def list_secrets(state: CliState, project: str | None, function: str) -> None:
    """List the names of the secrets."""
    rows = [row for row in _list(state, project, function) if row["kind"] == "secret"]
    show_list(state, rows, tuple(column for column in _COLUMNS if column != "value"))


@setting.command("get")
@click.argument("name")
@_placed
@pass_state
def get_setting(state: CliState, /, name: str, **place: str) -> None:
    """Show a setting and the releases that hold it."""
    _get(state, "settings", name, place)


@secret.command("get")
@click.argument("name")
@_placed
@pass_state
def get_secret(state: CliState, /, name: str, **place: str) -> None:
    """Show which releases hold which version of a secret, never its value."""
    _get(state, "secrets", name, place)


@setting.command("versions")
@click.argument("name")
@_placed
@pass_state
def list_setting_versions(state: CliState, /, name: str, **place: str) -> None:
    """List a setting's versions, newest first."""
    _versions(state, "settings", name, place, ("number", "value", "created_by", "created_at"))


@secret.command("versions")
@click.argument("name")
@_placed
@pass_state
def list_secret_versions(state: CliState, /, name: str, **place: str) -> None:
    """List a secret's versions, newest first, without values."""
    _versions(state, "secrets", name, place, ("number", "created_by", "created_at"))


@setting.command("rm")
@click.argument("name")
@_placed
@pass_state
def remove_setting(state: CliState, /, name: str, **place: str) -> None:
    """Let no further release use a setting; refused while one holds it."""
    _remove(state, "settings", name, place)


@secret.command("rm")
@click.argument("name")
@_placed
@pass_state
def remove_secret(state: CliState, /, name: str, **place: str) -> None:
    """Let no further release use a secret; refused while one holds it."""
    _remove(state, "secrets", name, place)


def _path(client: Client, kind: str, name: str, project: str | None) -> str:
    return f"/projects/{find_project(client, project)['id']}/{kind}/{name}"


def _which(place: dict[str, str]) -> dict[str, str]:
    return {"stage": place["stage"], "function": place["function"]}


def _set(state: CliState, kind: str, name: str, value: str, place: dict[str, str]) -> None:
    with state.client() as client:
        path = _path(client, kind, name, place["project"])
        headers = {}
        try:
            headers["If-Match"] = client.send("GET", path, params=_which(place)).headers["ETag"]
        except Failure as failure:
            # What is not there yet is made.
            if failure.exit_code != ExitCode.NOT_FOUND:
                raise
        answer = client.send("PUT", path, json={"value": value, **_which(place)}, headers=headers).json()
    if state.output == "json":
        show_one(state, answer)
    note(f"{name} is set for {place['stage']} runs; the next release uses it.")
    outdated = [use for use in answer["used_by"] if use["outdated"]]
    for use in outdated:
        note(f"Release {use['release']} of {use['function_name']} still holds version {use['number']}.")


def _list(state: CliState, project: str | None, function: str) -> list[dict[str, Any]]:
    with state.client() as client:
        place = find_project(client, project)
        return list(client.pages(f"/projects/{place['id']}/settings", function=function))


def _get(state: CliState, kind: str, name: str, place: dict[str, str]) -> None:
    with state.client() as client:
        row = client.get(_path(client, kind, name, place["project"]), **_which(place))
    show_one(state, row, (*_COLUMNS, "used_by"))


def _versions(state: CliState, kind: str, name: str, place: dict[str, str], columns: tuple[str, ...]) -> None:
    with state.client() as client:
        path = _path(client, kind, name, place["project"])
        rows = list(client.pages(f"{path}/versions", 0, **_which(place)))
    show_list(state, rows, columns)


def _remove(state: CliState, kind: str, name: str, place: dict[str, str]) -> None:
    with state.client() as client:
        path = _path(client, kind, name, place["project"])
        etag = client.send("GET", path, params=_which(place)).headers["ETag"]
        confirm(state, f"Remove {name} for {place['stage']} runs?")
        client.send("DELETE", path, params=_which(place), headers={"If-Match": etag})
    note(f"{name} is removed; no further release can use it.")


def _read(file: Any, *, hidden: bool) -> str:
    if file is None and sys.stdin.isatty():
        answer: str = click.prompt("Value", hide_input=hidden, err=True)
        return answer
    content: bytes = file.read() if file is not None else sys.stdin.buffer.read()
    try:
        value = content.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise Failure("The value is no UTF-8 text.", exit_code=ExitCode.USAGE) from None
    if not value:
        raise Failure("No value is given.", hint="Pipe it in, or name a --file.", exit_code=ExitCode.USAGE)
    return value
