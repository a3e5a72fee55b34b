"""The root of the `ingot` command: the table of nouns and how errors end a run.

Nothing heavy is imported here; commands are loaded when they run.
"""

from __future__ import annotations

from typing import Final

import click

from control_plane.cli.failures import Failure, exit_code_of
from control_plane.cli.lazy import LazyCommand, LazyGroup
from control_plane.cli.state import CliState
from control_plane.errors import IngotError

__all__ = ["COMMANDS", "VERSION", "cli", "main"]

# Said in pyproject.toml too; a checkout has no package metadata to read it from.
VERSION: Final = "0.1.0"


# Commands of the machine have options of their own.
_MACHINE: Final = {"system", "migrate", "machine_settings", "backup", "cleanup", "tls", "trust"}


def _at(module: str, attribute: str, summary: str) -> LazyCommand:
    return LazyCommand(f"control_plane.cli.{module}", attribute, summary, module not in _MACHINE)


COMMANDS: Final[dict[str, LazyCommand]] = {
    "setup": _at("setup", "setup", "Become the first owner of a new Ingot, and sign in."),
    "login": _at("account", "login", "Sign in and keep a personal token."),
    "logout": _at("account", "logout", "Revoke the token and forget it."),
    "password": _at("password", "password", "Change your own password."),
    "whoami": _at("account", "whoami", "Show who you are on this server."),
    "init": _at("starters", "init", "Start a function's folder from a starter."),
    "starter": _at("starters", "starter", "Look at what a function can begin from."),
    "function": _at("functions", "function", "Create, find, describe, retire and restore functions."),
    "draft": _at("drafts", "draft", "Push and pull a function's editable state."),
    "test": _at("testing", "test", "Run the draft once, in the sandbox it will run in."),
    "test-run": _at("test_runs", "test_run", "Look at test runs, and end them."),
    "dev": _at("dev", "dev", "Preview a folder, reloaded as its files change."),
    "preview": _at("previews", "preview", "Try a draft or a version by real calls, before a review."),
    "freeze": _at("versions", "freeze", "Make an immutable version of the draft."),
    "version": _at("versions", "version", "List, show, compare, deprecate and retire versions."),
    "submit": _at("reviews", "submit", "Ask for a review of a version."),
    "review": _at("reviews", "review", "Look at reviews and decide them."),
    "release": _at("releases", "release", "Put versions into traffic, and take them out."),
    "export": _at(
        "moving",
        "export",
        "Write FUNCTION with its versions, and who approved them, to one file for another Ingot.",
    ),
    "eject": _at(
        "eject",
        "eject",
        "Write a version of FUNCTION to FOLDER: service.yaml for `kubectl apply`, and its image.",
    ),
    "import": _at(
        "moving",
        "import_file",
        "Bring in the function in FILE, all of it or nothing; the same file again changes nothing.",
    ),
    "key": _at("keys", "key", "Manage callers' API keys."),
    "invoke": _at("invoke", "invoke", "Call a released function."),
    "invocation": _at("invocations", "invocation", "Look at single calls."),
    "why": _at(
        "why",
        "why",
        "Explain the call with REQUEST_ID (X-Request-Id or X-Ingot-Usage-Id of its answer).",
    ),
    "monitor": _at("monitor", "monitor", "Show numbers over time."),
    "usage": _at("usage", "usage", "Show what was counted, and check it."),
    "logs": _at("logs", "logs", "Show a function's log records."),
    "setting": _at("settings", "setting", "Set values that functions read."),
    "secret": _at("settings", "secret", "Set values that functions read and people cannot."),
    "file": _at("files", "file", "Keep large inputs and outputs."),
    "share": _at("shares", "share", "Let others install a function."),
    "market": _at("market", "market", "Find and install what others share."),
    "organization": _at("organizations", "organization", "Make and look at organizations."),
    "department": _at("departments", "department", "Make and look at departments."),
    "project": _at("projects", "project", "Make, move and look at projects."),
    "member": _at("members", "member", "Invite people, and say what they may do."),
    "session": _at("credentials", "session", "Look at your open sessions and end them."),
    "token": _at("credentials", "token", "Make personal tokens, look at them and end them."),
    "audit": _at("audit", "audit", "Read and verify the audit chain."),
    "event": _at("events", "event", "Read the organization's events."),
    "openapi": _at("openapi", "openapi", "Print the API's description."),
    # The machine's own commands exist only where the whole of Ingot is installed.
    "up": _at("system", "up", "Start Ingot on this machine."),
    "down": _at("system", "down", "Stop Ingot on this machine."),
    "status": _at("system", "status", "Show the processes of the Ingot on this machine."),
    "migrate": _at("migrate", "migrate", "Bring the databases to the newest schema, and start nothing."),
    "backup": _at("backup", "backup", "Back the data folder up, and bring it back."),
    "cleanup": _at("cleanup", "cleanup", "Remove what is over, or show it."),
    "tls": _at("tls", "tls", "Make, look at and replace the certificate."),
    "trust": _at("trust", "trust", "Print what a cluster must trust to run these releases."),
    "settings": _at("machine_settings", "settings", "Show how this machine's Ingot is set up."),
    "doctor": _at("system", "doctor", "Say what this machine can isolate and run."),
    "_run": _at("system", "run_role", "Run one process of Ingot."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--url", envvar="INGOT_URL", metavar="URL", help="The server; default: the last one logged in to."
)
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How results are printed."
)
@click.option("-y", "--yes", is_flag=True, help="Answer every question with yes.")
@click.version_option(VERSION, message="ingot %(version)s")
@click.pass_context
def cli(context: click.Context, url: str | None, output: str, yes: bool) -> None:
    """Turn code into reviewed, immutable functions, and call them."""
    context.obj = CliState(url=url.rstrip("/") if url else None, output=output, yes=yes)


def main() -> None:
    """Run the command line; what this machine refuses is said as the server's refusals are."""
    try:
        cli(prog_name="ingot")
    except IngotError as error:
        failure = Failure(error.message, hint=error.hint or "", exit_code=exit_code_of(error.status))
        failure.show()
        raise SystemExit(failure.exit_code) from None


if __name__ == "__main__":
    main()
