"""The peers that Ingot is measured against, in an environment of their own.

Versions and flags stand here and are printed with the figures. Every peer
serves the same handler; ready means that it answers its first call.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FLASK_PROXY", "FUNCTIONS_FRAMEWORK", "FUNC_PYTHON", "Peer", "free_port", "running"]

_PACKAGES = (
    "functions-framework==3.10.2",
    "func-python==0.8.1",
    "flask==3.1.3",
    "gunicorn==27.0.1",
    "httpx==0.28.1",
)


@dataclass(frozen=True, slots=True)
class Peer:
    """How to start a peer in a folder that holds its files."""

    name: str
    packages: tuple[str, ...]
    files: dict[str, str]
    # `{python}`, `{port}` and `{upstream}` are filled in.
    command: tuple[str, ...]
    environment: dict[str, str]

    @property
    def versions(self) -> str:
        """Return what runs, as printed beside its figures."""
        return f"{' '.join(self.command[1:])} with {', '.join(self.packages)}"


FUNCTIONS_FRAMEWORK = Peer(
    "functions-framework",
    ("functions-framework==3.10.2",),
    {
        "main.py": textwrap.dedent("""
        import functions_framework

        @functions_framework.http
        def execute(request):
            return {"hello": (request.get_json(silent=True) or {}).get("name", "world")}
        """)
    },
    (
        "{python}",
        "-m",
        "functions_framework",
        "--target",
        "execute",
        "--source",
        "main.py",
        "--port",
        "{port}",
    ),
    {"WORKERS": "1", "THREADS": "1"},
)

FUNC_PYTHON = Peer(
    "knative func-python",
    ("func-python==0.8.1",),
    {
        "main.py": textwrap.dedent("""
        import json
        from func_python.http import serve

        class Function:
            async def handle(self, scope, receive, send):
                body = b""
                while True:
                    part = await receive()
                    body += part.get("body", b"")
                    if not part.get("more_body"):
                        break
                name = json.loads(body or b"{}").get("name", "world")
                answer = json.dumps({"hello": name}).encode()
                length = str(len(answer)).encode()
                head = [(b"content-type", b"application/json"), (b"content-length", length)]
                await send({"type": "http.response.start", "status": 200, "headers": head})
                await send({"type": "http.response.body", "body": answer})

        def new():
            return Function()

        serve(new)
        """)
    },
    ("{python}", "main.py"),
    {"LISTEN_ADDRESS": "127.0.0.1:{port}"},
)

# What a control plane in Python does when it stands on the hot path: look the key up, then pass the call on.
FLASK_PROXY = Peer(
    "flask proxy with a key check in the database",
    ("flask==3.1.3", "gunicorn==27.0.1", "httpx==0.28.1"),
    {
        "main.py": textwrap.dedent("""
        import hashlib, os, sqlite3
        import httpx
        from flask import Flask, Response, request

        app = Flask(__name__)
        upstream = httpx.Client(base_url=os.environ["UPSTREAM"])
        keys = sqlite3.connect("keys.db", check_same_thread=False)
        keys.execute("create table if not exists keys (hash text primary key)")
        keys.execute("insert or ignore into keys values (?)", (hashlib.sha256(b"secret").hexdigest(),))
        keys.commit()

        @app.post("/")
        def call():
            digest = hashlib.sha256(request.headers.get("X-Api-Key", "").encode()).hexdigest()
            if not keys.execute("select 1 from keys where hash = ?", (digest,)).fetchone():
                return {"error": "unknown key"}, 401
            headers = {"Content-Type": "application/json"}
            answer = upstream.post("/", content=request.get_data(), headers=headers)
            return Response(answer.content, answer.status_code, content_type=answer.headers["content-type"])
        """)
    },
    (
        "{python}",
        "-m",
        "gunicorn",
        "--workers",
        "1",
        "--threads",
        "8",
        "--bind",
        "127.0.0.1:{port}",
        "main:app",
    ),
    {"UPSTREAM": "{upstream}"},
)


def free_port() -> int:
    """Return a loopback port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def peer_python(peer: Peer) -> str:
    """Return the interpreter of the peer's environment, installing it when the pins changed."""
    folder = Path(__file__).resolve().parents[2] / ".venv-peers" / peer.name.replace(" ", "-")
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text().split() != list(peer.packages):
        uv, python = [sys.executable, "-m", "uv"], str(folder / "bin" / "python")
        subprocess.run(
            [*uv, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True, timeout=120
        )
        subprocess.run(
            [*uv, "pip", "install", "-q", "--python", python, *peer.packages], check=True, timeout=300
        )
        stamp.write_text("\n".join(peer.packages))
    return str(folder / "bin" / "python")


@contextlib.contextmanager
def running(peer: Peer, folder: Path, upstream: str = "") -> Iterator[tuple[int, float]]:
    """Start a peer; yield (port, seconds from process start to the first answer)."""
    for name, text in peer.files.items():
        (folder / name).write_text(text)
    port = free_port()
    filled = {"python": peer_python(peer), "port": str(port), "upstream": upstream}
    environment = {name: value.format(**filled) for name, value in peer.environment.items()}
    began = time.perf_counter()
    process = subprocess.Popen(
        [part.format(**filled) for part in peer.command],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _first_answer(port, began)
        yield port, time.perf_counter() - began
    finally:
        # The session is the peer's own: its workers end with it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _first_answer(port: int, began: float) -> None:
    while time.perf_counter() - began < 30:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            headers = {"Content-Type": "application/json", "X-Api-Key": "secret"}
            connection.request("POST", "/", b'{"name":"a"}', headers)
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.001)
        finally:
            connection.close()
    raise TimeoutError(f"The peer on port {port} did not answer within 30 s.")
