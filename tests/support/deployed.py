"""From a draft to a call, by the command line alone, on an Ingot that runs somewhere else."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from knative.bootstrap.build import ensure_helm
from knative.bootstrap.plan import Profile, plan_from

__all__ = ["Walk", "helm"]

ROOT = Path(__file__).resolve().parents[2]


class Walk:
    """An owner, who is the author, and a reviewer."""

    def __init__(self, console: str, folder: Path) -> None:
        self._console, self._folder = console, folder

    def ingot(self, person: str, *words: str, said: str = "", **environment: str) -> Any:
        """Run `ingot WORDS -o json` as somebody; returns what it printed."""
        home = self._folder / person
        home.mkdir(exist_ok=True)
        command = [str(ROOT / ".venv/bin/ingot"), "--url", self._console, "-o", "json", "--yes", *words]
        own = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
        done = subprocess.run(
            command,
            cwd=self._folder,
            input=said,
            env={**own, "INGOT_CONFIG_HOME": str(home), **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}{done.stdout}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def begin(self, link: str) -> None:
        """Become the owner, and invite the reviewer."""
        (self._folder / "link").write_text(link)
        owner = ("--email", "owner@walk.example", "--name", "Olga", "--organization", "walk")
        password = secrets.token_urlsafe(16)
        found = ("--link", str(self._folder / "link"), "--password-stdin")
        self.ingot("owner", "setup", *owner, *found, said=password + "\n")
        invited = self.ingot("owner", "member", "invite", "rita@walk.example", "--role", "reviewer")
        self.ingot(
            "reviewer", "login", "--email", "rita@walk.example", "--password-stdin",
            said=invited["one_time_password"] + "\n", INGOT_NEW_PASSWORD=secrets.token_urlsafe(16),
        )  # fmt: skip

    def publish(self, name: str) -> tuple[str, str]:
        """Draft, try, freeze, review and release a function; returns its address and a key."""
        source = self._folder / name
        self.ingot("owner", "init", name, "--starter", "hello", "--folder", str(source))
        self.ingot("owner", "function", "create", name)
        self.ingot("owner", "draft", "push", name, "--folder", str(source))
        given = self._folder / "input.json"
        given.write_text('{"name": "Ada"}')
        ran = self.ingot("owner", "test", name, "--input", str(given))
        assert ran["status"] == 200, ran
        version = self.ingot("owner", "freeze", name)
        asked = self.ingot("owner", "submit", name, "--note", "From a test.")
        self.ingot("reviewer", "review", "approve", asked["id"], "--digest", version["digest"])
        self.ingot("owner", "release", "create", name)
        key = self.ingot("owner", "key", "create", f"walk {name}")["text"]
        return self.ingot("owner", "function", "get", name)["url"], key

    @staticmethod
    def call(url: str, key: str) -> httpx.Response:
        """Call the function once."""
        return httpx.post(url, json={"name": "Ada"}, headers={"X-Api-Key": key}, timeout=60)


def helm() -> Path:
    """Return the helm that this repository pins, built if need be; skips where there is no Go."""
    if shutil.which("go") is None:
        pytest.skip("helm is built with Go, which is not here")
    return ensure_helm(plan_from(os.environ, Profile.DURABLE).cache)
