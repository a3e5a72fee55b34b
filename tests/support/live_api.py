"""The application behind a real HTTP server on loopback, and a command line that talks to it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import Engine
from werkzeug.serving import WSGIRequestHandler, make_server

from control_plane.api.state import ApiOptions
from control_plane.cli.main import cli
from control_plane.domain.identity import Actor
from tests.support.api import ApiWorld
from tests.support.builders import World

__all__ = ["CommandLine", "LiveApi", "live_api"]


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: a test's own failure is what matters."""


@dataclass(frozen=True)
class LiveApi:
    """A served application."""

    api: ApiWorld
    url: str

    def as_(self, actor: Actor | None, home: Path) -> CommandLine:
        """Return the command line of one person on a computer of their own."""
        token = self.api.world.tokens.create(actor, name="cli").text if actor else ""
        return CommandLine(self.url, home, token)


@dataclass
class CommandLine:
    """Runs `ingot` in this process, without a terminal."""

    url: str
    home: Path
    token: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        """Run a command and return how it ended."""
        environment: dict[str, str | None] = {
            "INGOT_URL": self.url,
            "INGOT_CONFIG_HOME": str(self.home),
            "INGOT_TOKEN": self.token or None,
            **self.environment,
        }
        return CliRunner().invoke(cli, list(arguments), input=stdin, env=environment)

    def ok(self, *arguments: str, stdin: str | bytes | None = None) -> str:
        """Run a command that must succeed; return its standard output."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, (arguments, result.stdout, result.stderr, result.exception)
        return result.stdout

    def json(self, *arguments: str, stdin: str | bytes | None = None) -> Any:
        """Run a command that must succeed; return what it printed as JSON."""
        return json.loads(self.ok("-o", "json", *arguments, stdin=stdin))


@contextmanager
def live_api(control: Engine, usage: Engine) -> Iterator[LiveApi]:
    """Serve the application on a free port until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        options = ApiOptions(console_origins=frozenset({url}), cookie_port=port, cursor_key=b"key")
        api = ApiWorld(World(control), usage, options)
        server = make_server(
            "127.0.0.1", port, api.app, threaded=True, request_handler=_Quiet, fd=listener.fileno()
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield LiveApi(api, url)
        finally:
            server.shutdown()
            thread.join(timeout=10)
            server.server_close()
