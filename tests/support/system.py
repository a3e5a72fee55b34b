"""A whole running Ingot in a folder of its own, for tests and benchmarks that use it as people do.

Everything goes through `ingot up`, the HTTP API and the functions' origin;
nothing reaches into the processes but `pids` and `kill`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

__all__ = ["Person", "Published", "System", "running_system", "wait_for"]

_ROOT = Path(__file__).resolve().parents[2]
_PASSWORD = "correct horse battery staple"


def wait_for(what: Callable[[], Any], seconds: float = 20, pause: float = 0.01) -> Any:
    """Return the first true value of `what`; AssertionError when it does not come in time."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(pause)
    return found


@dataclass(slots=True)
class Person:
    """Somebody with a personal token."""

    email: str
    http: httpx.Client

    def call(self, method: str, path: str, expect: int | None = None, **options: Any) -> Any:
        """Return the JSON of an API answer; AssertionError unless it is a 2xx, or `expect`."""
        answer = self.http.request(method, f"/api/v1{path}", **options)
        good = answer.is_success if expect is None else answer.status_code == expect
        assert good, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.json() if is_json and answer.content else answer.content


@dataclass(frozen=True, slots=True)
class Published:
    """A function that is live."""

    name: str
    version: dict[str, Any]
    release: dict[str, Any]


class System:
    """One Ingot: started, set up with an owner, an author and a reviewer, and stopped."""

    def __init__(self, folder: Path, *, user: int | None = None, **environment: str) -> None:
        """`user` starts it under another user id, as root can; `environment` is the starter's."""
        self.folder = folder
        self.user = user
        self.data = folder / "data"
        self.console_port, self.functions_port = _free_ports()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_"))},
            "INGOT_LISTEN_CONSOLE_PORT": str(self.console_port),
            "INGOT_LISTEN_FUNCTIONS_PORT": str(self.functions_port),
            **environment,
        }
        self.console = f"http://127.0.0.1:{self.console_port}"
        self.functions = f"http://127.0.0.1:{self.functions_port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.people: dict[str, Person] = {}

    def start(self, seconds: float = 60) -> float:
        """Start and wait until every role serves; return the seconds that took."""
        began = time.monotonic()
        out = (self.folder / "up.log").open("ab")
        command = [sys.executable, "-m", "control_plane.cli.main", "up", "--data", str(self.data)]
        rights: dict[str, Any] = {}
        if self.user is not None:
            rights = {"user": self.user, "group": self.user, "extra_groups": []}
        self.process = subprocess.Popen(
            command, cwd=_ROOT, env=self.environment, stdout=out, stderr=out, **rights
        )
        out.close()
        wait_for(lambda: self._ended() or self.facts().get("ready"), seconds)
        assert not self._ended(), (self.folder / "up.log").read_text()[-3000:]
        return time.monotonic() - began

    def stop(self) -> None:
        """Stop as a person does, and wait for the end."""
        if self.process is not None:
            # The gateway lets kept connections end by themselves, which takes their idle time.
            for person in self.people.values():
                person.http.close()
            self.process.terminate()
            self.process.wait(120)
            self.process = None

    def facts(self) -> dict[str, Any]:
        """Return what the supervisor wrote about this run; empty before it did."""
        try:
            found: dict[str, Any] = json.loads((self.data / "up.json").read_text().split("\n")[0] or "{}")
        except (OSError, ValueError):
            return {}
        return found if self.process and found.get("pid") == self.process.pid else {}

    def roles(self) -> dict[str, dict[str, Any]]:
        """Return role -> {pid, ready, restarts}."""
        run = json.loads((self.data / "config" / "api.json").read_text())["run"]
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(5)
            channel.connect(f"{run}/supervisor.sock")
            channel.sendall(b"status")
            found: dict[str, dict[str, Any]] = json.loads(channel.makefile().readline())["roles"]
        return found

    def kill(self, role: str) -> int:
        """Send SIGKILL to a role's process; return its pid, 0 when it was down."""
        pid = int(self.roles()[role]["pid"])
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pid

    def set_up(self) -> None:
        """Make the first owner, who invites an author and a reviewer."""
        claim = {
            "token": (self.data / "keys" / "owner-link").read_text().strip(),
            "email": "owner@example.com",
            "name": "Owner",
            "password": _PASSWORD,
            "organization": "acme",
        }
        with httpx.Client(base_url=self.console, timeout=30) as http:
            answer = http.post("/api/v1/setup", json=claim, headers={"Origin": self.console})
            assert answer.status_code == 201, answer.text
        self.people["owner"] = self._sign_in("owner@example.com", _PASSWORD)
        for role in ("author", "reviewer"):
            email = f"{role}@example.com"
            body = {"email": email, "name": role.title(), "role": role}
            invited = self.people["owner"].call("POST", "/members", json=body)
            self.people[role] = self._sign_in(email, invited["one_time_password"])

    def publish(
        self, name: str, files: Mapping[str, str | bytes], *, seconds: float = 60, percent: int = 100
    ) -> Published:
        """Take files through draft, freeze, review and release; return when calls reach it."""
        version = self.freeze(name, files)
        self.approve(name, version)
        return Published(
            name, version, self.release(name, version["number"], percent=percent, seconds=seconds)
        )

    def freeze(self, name: str, files: Mapping[str, str | bytes]) -> dict[str, Any]:
        """Create the function if need be, replace its draft, freeze it; return the version."""
        author = self.people["author"]
        if author.http.get(f"/api/v1/functions/{name}").status_code == 404:
            author.call("POST", "/functions", json={"name": name, "project": "main"})
        etag = author.http.get(f"/api/v1/functions/{name}/draft").headers["etag"]
        headers = {"If-Match": etag, "Content-Type": "application/x-tar"}
        path = f"/api/v1/functions/{name}/draft/archive"
        put = author.http.put(path, content=_tar(files), headers=headers)
        assert put.is_success, put.text
        if_match = {"If-Match": put.headers["etag"]}
        version: dict[str, Any] = author.call("POST", f"/functions/{name}/versions", headers=if_match)
        return version

    def approve(self, name: str, version: Mapping[str, Any]) -> None:
        """Submit as the author, approve as the reviewer."""
        asked = self.people["author"].call(
            "POST", f"/functions/{name}/reviews", json={"version": version["number"]}
        )
        digest = {"digest": version["digest"]}
        self.people["reviewer"].call("POST", f"/reviews/{asked['id']}/approve", json=digest)

    def release(self, name: str, number: int, *, percent: int = 100, seconds: float = 60) -> dict[str, Any]:
        """Release a version and wait until it is live; AssertionError when it fails."""
        body = {"version": number, "percent": percent}
        made = self.people["owner"].call("POST", f"/functions/{name}/releases", json=body)
        return self.wait_live(name, made["number"], seconds)

    def wait_live(self, name: str, release: int, seconds: float = 60) -> dict[str, Any]:
        """Wait until a release is live."""
        # Asking more often would make the api the slowest part of what is measured.
        found: dict[str, Any] = wait_for(lambda: self._decided(name, release), seconds, 0.05)
        assert found["state"] == "live", found
        return found

    def key(self, name: str = "test", **limits: Any) -> str:
        """Return a new API key for everything in the project."""
        made = self.people["owner"].call("POST", "/projects/main/api-keys", json={"name": name, **limits})
        text: str = made["text"]
        return text

    def url(self, name: str) -> str:
        """Return a function's URL."""
        return f"{self.functions}/acme/{name}"

    def wait_callable(self, name: str, key: str, seconds: float = 20) -> None:
        """Wait until the key is known to the gateway."""
        headers = {"X-Api-Key": key}
        wait_for(
            lambda: httpx.post(self.url(name), json={}, headers=headers).status_code not in (401, 404),
            seconds,
        )

    def _decided(self, name: str, release: int) -> dict[str, Any] | None:
        found: dict[str, Any] = self.people["owner"].call("GET", f"/functions/{name}/releases/{release}")
        return found if found["state"] != "pending" else None

    def _sign_in(self, email: str, password: str) -> Person:
        with httpx.Client(base_url=self.console, timeout=30) as http:
            proof = {"Origin": self.console, "Sec-Fetch-Site": "same-origin"}
            answer = http.post("/api/v1/sessions", json={"email": email, "password": password}, headers=proof)
            assert answer.status_code == 201, answer.text
            session = answer.json()
            proof["X-CSRF-Token"] = session["csrf_token"]
            if session["must_change_password"]:
                body = {"current_password": password, "new_password": _PASSWORD}
                answer = http.put("/api/v1/me/password", json=body, headers=proof)
                assert answer.is_success, answer.text
                proof["X-CSRF-Token"] = answer.json()["csrf_token"]
            answer = http.post("/api/v1/tokens", json={"name": "test", "days": 1}, headers=proof)
            assert answer.status_code == 201, answer.text
        headers = {"Authorization": f"Bearer {answer.json()['text']}"}
        return Person(email, httpx.Client(base_url=self.console, headers=headers, timeout=120))

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None


@contextlib.contextmanager
def running_system(*, user: int | None = None, set_up: bool = True, **environment: str) -> Iterator[System]:
    """Yield a started and set-up Ingot in a temporary folder; stop it and remove the folder afterwards."""
    # A short path that every user id may pass, as the services drop their rights.
    folder = Path(tempfile.mkdtemp(prefix="ingot-"))
    folder.chmod(0o755)
    if user is not None:
        os.chown(folder, user, user)
    system = System(folder, user=user, **environment)
    try:
        system.start()
        if set_up:
            system.set_up()
        yield system
    finally:
        system.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _tar(files: Mapping[str, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(two.getsockname()[1])
