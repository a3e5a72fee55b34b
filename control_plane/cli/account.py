"""`ingot login`, `logout`, `whoami`: a personal token in the user's own configuration."""

from __future__ import annotations

import platform
import sys
from typing import Any

import click

from control_plane.cli.failures import ApiProblem, ExitCode, Failure
from control_plane.cli.output import note, show_one
from control_plane.cli.profiles import Profile, forget, remember
from control_plane.cli.state import CliState, pass_state

__all__ = ["ask", "keep", "login", "logout", "make_token", "read_password", "whoami"]


@click.command()
@click.option("--email", envvar="INGOT_EMAIL", help="Your e-mail address.")
@click.option("--organization", help="The organization to act in, when you are in several.")
@click.option("--password-stdin", is_flag=True, help="Read the password's first line from standard input.")
@click.option("--new-password", envvar="INGOT_NEW_PASSWORD", help="Your own password, after a one-time one.")
@click.option("--token", "given", help="Keep this personal token instead of making one.")
@click.option("--days", type=click.IntRange(1, 365), default=30, show_default=True, help="The token's life.")
@pass_state
def login(  # noqa: PLR0913, PLR0917  (each is one option)
    state: CliState,
    email: str | None,
    organization: str | None,
    password_stdin: bool,
    new_password: str | None,
    given: str | None,
    days: int,
) -> None:
    """Sign in and keep a personal token for this server."""
    url = state.profile().url
    if given:
        kept = Profile(url=url, token=given)
    else:
        address = email or ask("E-mail")
        body = {"email": address, "password": read_password(password_stdin)}
        if organization:
            body["organization"] = organization
        kept = make_token(state, url, body, new_password, days)
    keep(kept)


@click.command()
@pass_state
def logout(state: CliState) -> None:
    """Revoke this machine's token and forget it."""
    profile = state.profile()
    if profile.token_id:
        try:
            with state.client() as client:
                client.delete(f"/tokens/{profile.token_id}")
        except ApiProblem as problem:
            # A token that is already dead leaves nothing to revoke.
            if problem.status not in {401, 404}:
                raise
    forget(profile.url)
    note(f"Signed out of {profile.url}.")


@click.command()
@pass_state
def whoami(state: CliState) -> None:
    """Show who you are on this server, and what you may do where."""
    with state.client() as client:
        me = client.get("/me")
    if state.output == "json":
        show_one(state, me)
        return
    roles = ", ".join(f"{binding['role']} of {binding['place']}" for binding in me["bindings"])
    show_one(
        state,
        {
            "server": state.profile().url,
            "user": me["user"]["email"],
            "organization": me["organization"]["name"],
            "roles": roles,
        },
    )


def keep(made: Profile) -> None:
    """Remember a token that works, and say whose it is."""
    me = _whoami(made)
    kept = Profile(url=made.url, token=made.token, email=me["user"]["email"], token_id=made.token_id)
    path = remember(kept)
    note(f"Signed in to {kept.url} as {kept.email}; the token is in {path}.")


def make_token(
    state: CliState, url: str, body: dict[str, str], new_password: str | None, days: int
) -> Profile:
    """Sign in for one moment, make a token, and end the session again."""
    from control_plane.cli.client import Client

    with Client(Profile(url=url)) as client:
        # What a browser says of the console's own page; the cookie never leaves this client.
        proof = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
        session = client.send("POST", "/sessions", json=body, headers=proof).json()
        proof["X-CSRF-Token"] = session["csrf_token"]
        if session["must_change_password"]:
            chosen = new_password or _new_password()
            change = {"current_password": body["password"], "new_password": chosen}
            session = client.send("PUT", "/me/password", json=change, headers=proof).json()
            # The session went on as a new one.
            proof["X-CSRF-Token"] = session["csrf_token"]
        name = f"ingot on {platform.node()[:60] or 'a computer'}"
        made = client.send("POST", "/tokens", json={"name": name, "days": days}, headers=proof).json()
        client.send("DELETE", "/sessions/current", headers=proof)
    return Profile(url=url, token=made["text"], token_id=made["token"]["id"])


def _whoami(profile: Profile) -> Any:
    from control_plane.cli.client import Client

    with Client(profile) as client:
        return client.get("/me")


def read_password(from_stdin: bool) -> str:
    """Return what is typed, or the first line of standard input."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    return ask("Password", hidden=True)


def _new_password() -> str:
    note("You signed in with a one-time password; choose your own (at least 12 characters).")
    return ask("New password", hidden=True, twice=True)


def ask(question: str, *, hidden: bool = False, twice: bool = False) -> str:
    """Return the answer of whoever sits there. Raises Failure without a terminal."""
    if not sys.stdin.isatty():
        raise Failure(
            f"{question} is needed, and nobody is there to answer.",
            hint="Use --email with --password-stdin, or --token.",
            exit_code=ExitCode.USAGE,
        )
    answer: str = click.prompt(question, hide_input=hidden, confirmation_prompt=twice, err=True)
    return answer
