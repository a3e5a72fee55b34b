"""What a command says and which exit code it ends with when something goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import IO, Any

import click

from control_plane.cli.advice import advice_on

__all__ = ["ApiProblem", "ExitCode", "Failure", "exit_code_of"]


class ExitCode(IntEnum):
    """The documented exit codes."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_ALLOWED = 3
    NOT_FOUND = 4
    CONFLICT = 5
    UNAVAILABLE = 6


class Failure(click.ClickException):
    """One sentence, what to do next, and the request id where there is one."""

    def __init__(
        self, message: str, *, hint: str = "", exit_code: ExitCode = ExitCode.FAILED, request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.exit_code = int(exit_code)  # type: ignore[misc]
        self.hint = hint
        self.request_id = request_id
        self.details: tuple[str, ...] = ()

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the error to standard error, never mixed with output that a script reads."""
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {self.message}", err=True)
        for line in self.details:
            click.echo(f"  {line}", err=True)
        if self.hint:
            click.echo(f"Hint: {self.hint}", err=True)
        if self.request_id:
            click.echo(f"Request: {self.request_id}", err=True)


class ApiProblem(Failure):
    """A problem document that the server answered with."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        code, faults = str(body.get("code") or ""), _faults(body.get("errors"))
        super().__init__(
            str(body.get("detail") or body.get("title") or f"The server answered {status}."),
            # What a fault asks for is nearer to the matter than what the whole answer does.
            hint=advice_on(tuple(place for place, _ in faults))
            or str(body.get("hint") or "")
            or advice_on((code,)),
            exit_code=exit_code_of(status),
            request_id=str(body.get("request_id") or ""),
        )
        self.status = status
        self.code = code
        # What the sentence says already is not said again.
        self.details = tuple(
            f"{place or '/'}: {detail}" for place, detail in faults if detail not in self.message
        )


def _faults(errors: object) -> list[tuple[str, str]]:
    """Return (place, what is wrong); functions say `message` where the API says `detail`."""
    known = [fault for fault in errors if isinstance(fault, dict)] if isinstance(errors, list) else []
    return [
        (str(fault.get("pointer") or ""), str(fault.get("detail") or fault.get("message") or ""))
        for fault in known
    ]


def exit_code_of(status: int) -> ExitCode:
    """Map an HTTP status to the exit code that scripts can branch on."""
    if status in {401, 403}:
        return ExitCode.NOT_ALLOWED
    if status in {404, 410}:
        return ExitCode.NOT_FOUND
    if status in {409, 412, 428}:
        return ExitCode.CONFLICT
    if status in {408, 429, 502, 503, 504}:
        return ExitCode.UNAVAILABLE
    return ExitCode.FAILED
