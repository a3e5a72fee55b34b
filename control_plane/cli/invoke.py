"""`ingot invoke`: one call of a released function through the gateway, as any caller makes it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from control_plane.cli.bodies import read_body, write_body
from control_plane.cli.failures import ApiProblem, ExitCode, Failure
from control_plane.cli.files import fetch_file
from control_plane.cli.output import note
from control_plane.cli.references import find_function
from control_plane.cli.state import CliState, pass_state

__all__ = ["invoke"]


@click.command()
@click.argument("function")
@click.option("--data", help="Body to send; @FILE reads it from a file, @- from standard input.")
@click.option(
    "--file", help="Id of a stored file to send as the body; it travels inline, so the body limit counts."
)
@click.option("--content-type", help="Kind of the body; default: told by the file's name, else JSON.")
@click.option("--key", envvar="INGOT_KEY", help="The API key; default: INGOT_KEY.")
@click.option("--version", help="A version's number or a tag such as canary; default: what is live.")
@click.option("--method", default="POST", show_default=True, help="Request method.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="File to write the result to.")
@click.option("--timeout", type=float, default=120.0, show_default=True, help="Seconds to wait.")
@click.option(
    "--address", envvar="INGOT_FUNCTIONS_URL", help="The functions' origin; default: asked of the server."
)
@pass_state
def invoke(  # noqa: PLR0913, PLR0917  (each is one option)
    state: CliState,
    function: str,
    data: str | None,
    file: str | None,
    content_type: str | None,
    key: str | None,
    version: str | None,
    method: str,
    save: Path | None,
    timeout: float,
    address: str | None,
) -> None:
    """Call FUNCTION (organization/name) and print its answer."""
    import httpx

    body, kind = _body(state, data, file, content_type)
    url = _address(state, function, address) + (f"@{version}" if version else "")
    headers = {"X-Api-Key": key} if key else {}
    if body:
        headers["Content-Type"] = kind
    try:
        answer = httpx.request(
            method.upper(), url, content=body, headers=headers, timeout=timeout, trust_env=False
        )
    except httpx.HTTPError as error:
        raise Failure(
            f"{url} did not answer: {error}.",
            hint="Check with `ingot release status` that the function is live.",
            exit_code=ExitCode.UNAVAILABLE,
        ) from error
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        raise ApiProblem(answer.status_code, answer.json())
    write_body(answer.content, save)
    if not answer.is_success:
        raise Failure(f"The function answered {answer.status_code}.")
    timing = answer.headers.get("server-timing", "")
    if os.environ.get("INGOT_VERBOSE"):
        note(f"Status {answer.status_code} {timing}")


def _body(state: CliState, data: str | None, file: str | None, content_type: str | None) -> tuple[bytes, str]:
    """Return the body and its kind: from the command line, or a stored file's bytes."""
    if file is None:
        return read_body(data, content_type)
    if data is not None:
        raise Failure("The body is either --data or --file.", exit_code=ExitCode.USAGE)
    with state.client(timeout_s=300) as client:
        stored = client.get(f"/files/{file}")
        return fetch_file(client, file), content_type or stored["content_type"]


def _address(state: CliState, function: str, address: str | None) -> str:
    if address and "/" in function:
        return f"{address.rstrip('/')}/{function}"
    with state.client() as client:
        return str(find_function(client, function)["url"])
