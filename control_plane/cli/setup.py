"""`ingot setup`: become the first owner from a shell, with the one-time link that `ingot up` left."""

from __future__ import annotations

from pathlib import Path

import click

from control_plane.cli.account import ask, keep, make_token, read_password
from control_plane.cli.failures import ExitCode, Failure
from control_plane.cli.machine import nearest_data
from control_plane.cli.profiles import Profile
from control_plane.cli.state import CliState, pass_state

__all__ = ["setup"]


@click.command()
@click.option("--email", envvar="INGOT_EMAIL", help="Your e-mail address.")
@click.option("--name", help="Your name; default: the e-mail address.")
@click.option("--organization", help="What the first organization is called, such as your company's name.")
@click.option(
    "--link",
    type=click.Path(path_type=Path, dir_okay=False),
    default=lambda: nearest_data() / "keys" / "owner-link",
    show_default=".ingot/keys/owner-link",
    help="The file that `ingot up` left.",
)
@click.option("--password-stdin", is_flag=True, help="Read the password's first line from standard input.")
@click.option("--days", type=click.IntRange(1, 365), default=30, show_default=True, help="The token's life.")
@pass_state
def setup(  # noqa: PLR0913, PLR0917  (each is one option)
    state: CliState,
    email: str | None,
    name: str | None,
    organization: str | None,
    link: Path,
    password_stdin: bool,
    days: int,
) -> None:
    """Become the first owner of a new Ingot, and sign in."""
    from control_plane.cli.client import Client

    token = _claim(link)
    url = state.profile().url
    address = email or ask("E-mail")
    chosen = organization or ask("Organization")
    password = read_password(password_stdin)
    body = {
        "token": token,
        "email": address,
        "name": name or address,
        "password": password,
        "organization": chosen,
    }
    with Client(Profile(url=url)) as client:
        client.send("POST", "/setup", json=body, headers={"Origin": url})
    keep(make_token(state, url, {"email": address, "password": password}, None, days))


def _claim(link: Path) -> str:
    try:
        return link.read_text("utf-8").strip()
    except OSError as error:
        raise Failure(
            f"There is no owner link at {link}.",
            hint="It lies in the data folder until somebody used it; after that, `ingot login`.",
            exit_code=ExitCode.NOT_FOUND,
        ) from error
