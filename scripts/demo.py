#!/usr/bin/env python3
"""`make demo`: from a draft to a metered call, on a running Ingot, through the public API and CLI only.

Prints each step with its duration, and the line to call the function again.
The people it makes stay: their sign-ins are in .ingot/demo, for their owner's eyes only.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).resolve().parents[1]
CONSOLE = os.environ.get("INGOT_URL", "http://127.0.0.1:8080")
DATA = Path(os.environ.get("INGOT_DATA", ROOT / ".ingot")).absolute()
KEPT = DATA / "demo"

T = TypeVar("T")


class Person:
    """Somebody who uses the command line with a configuration of their own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.home = KEPT / name
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)

    def ingot(self, *arguments: str, cwd: Path | None = None, said: str = "", **environment: str) -> Any:
        """Run `ingot ARGUMENTS -o json`; return what it printed. Ends the demo when it fails."""
        command = [str(ROOT / ".venv/bin/ingot"), "--url", CONSOLE, "-o", "json", "--yes", *arguments]
        done = subprocess.run(
            command,
            cwd=cwd,
            input=said,
            env={**os.environ, "INGOT_CONFIG_HOME": str(self.home), **environment},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode != 0:
            line = f"`ingot {' '.join(arguments)}` as {self.name}"
            fail(f"{line} ended with {done.returncode}:\n{done.stderr.strip()}")
        return json.loads(done.stdout) if done.stdout.strip() else None


def fail(sentence: str) -> None:
    """End the demo with a sentence."""
    print(f"\ndemo: {sentence}", file=sys.stderr)
    raise SystemExit(1)


def step(what: str, do: Callable[[], T]) -> T:
    """Do one step and print how long it took."""
    print(f"  {what:<66}", end="", flush=True)
    began = time.perf_counter()
    result = do()
    print(f"{time.perf_counter() - began:7.2f} s", flush=True)
    return result


def be_owner() -> Person:
    """Return an owner: from the last demo, from the one-time link, or from INGOT_TOKEN."""
    owner = Person("owner")
    link = DATA / "keys" / "owner-link"
    if any(owner.home.iterdir()):
        return owner
    if os.environ.get("INGOT_TOKEN"):
        owner.ingot("login", "--token", os.environ["INGOT_TOKEN"])
        return owner
    if not link.exists():
        fail(
            "Ingot has an owner already. Make a token as that owner (`ingot login`, then its token) "
            "and run: INGOT_TOKEN=… make demo"
        )
    password = secrets.token_urlsafe(16)
    sign_in = {"email": "owner@demo.example", "password": password}
    claim = {**sign_in, "token": link.read_text().strip(), "name": "Olga Owner", "organization": "demo"}
    answer = httpx.post(f"{CONSOLE}/api/v1/setup", json=claim, timeout=30)
    if answer.status_code != 201:
        fail(f"The owner link was not accepted: {answer.text}")
    (KEPT / "sign-in.json").write_text(json.dumps(sign_in, indent=1))
    (KEPT / "sign-in.json").chmod(0o600)
    owner.ingot("login", "--email", sign_in["email"], "--password-stdin", said=password + "\n")
    return owner


def invite(owner: Person, name: str, role: str) -> Person:
    """Return a person whom the owner invited by a one-time password; the same one as last time."""
    person = Person(name)
    if not any(person.home.iterdir()):
        email = f"{name}@demo.example"
        invited = owner.ingot("member", "invite", email, "--name", name.title(), "--role", role)
        person.ingot(
            "login", "--email", email, "--password-stdin",
            said=invited["one_time_password"] + "\n", INGOT_NEW_PASSWORD=secrets.token_urlsafe(16),
        )  # fmt: skip
    return person


def review(author: Person, reviewer: Person, name: str, folder: Path) -> dict[str, Any]:
    """Freeze, submit and approve; return the version."""
    version: dict[str, Any] = step(
        "freeze: lock, layers, image, SBOM", lambda: author.ingot("freeze", name, cwd=folder)
    )
    asked = step(
        "submit for review", lambda: author.ingot("submit", name, "--note", "From the demo.", cwd=folder)
    )
    step(
        "the reviewer approves the digest that was shown",
        lambda: reviewer.ingot("review", "approve", asked["id"], "--digest", version["digest"]),
    )
    print(f"      {name}@{version['number']} is {version['digest'][:23]}…")
    return version


def call(url: str, key: str, body: bytes, times: int) -> httpx.Response:
    """Call the function over and over, four at a time; print the statuses, return the last answer."""
    headers = {"X-Api-Key": key, "Content-Type": "application/json"}
    with httpx.Client(timeout=60, headers=headers) as client, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.post(url, content=body), range(times)))
    statuses = Counter(answer.status_code for answer in answers)
    if set(statuses) != {200}:
        fail(f"Not every call was answered well: {dict(statuses)}, e.g. {answers[-1].text[:500]}")
    return answers[-1]


def counted(owner: Person, function: str, wanted: int) -> int:
    """Return how many calls are counted for a function, waiting a moment for the last ones."""
    deadline = time.monotonic() + 10
    while True:
        rows = owner.ingot("usage", "--by", "function", "--days", "1")
        found = sum(int(row["calls"]) for row in rows if row["label"] == function)
        if found >= wanted or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def draft(author: Person, name: str, folder: Path) -> bytes:
    """Make the function from a starter and test-run it; return the input that was used."""
    start = ("init", name, "--starter", "orders-report", "--folder", str(folder))
    step("ingot init, from the starter orders-report", lambda: author.ingot(*start))
    step("create the function", lambda: author.ingot("function", "create", name))
    step("push the draft and lock pandas and pillow", lambda: author.ingot("draft", "push", name, cwd=folder))
    body = json.dumps({"csv": (folder / "orders.csv").read_text()}).encode()
    kept = KEPT / f"{name}.json"
    kept.write_bytes(body)
    ran = step(
        "test-run it in the sandbox", lambda: author.ingot("test", name, "--input", str(kept), cwd=folder)
    )
    print(f"      answered {ran['status']} in {ran['duration_ms']:.0f} ms, imports {ran['import_ms']:.0f} ms")
    return body


def go_live(owner: Person, name: str, body: bytes) -> tuple[str, str]:
    """Release, make a key, call 100 times, show the usage; return (url, key)."""
    step("release it: approved to callable", lambda: owner.ingot("release", "create", name))
    key = step("create an API key", lambda: owner.ingot("key", "create", f"demo {name}"))["text"]
    url = owner.ingot("function", "get", name)["url"]
    answer = step("call it 100 times", lambda: call(url, key, body, 100))
    report = answer.json()
    print("      " + ", ".join(f"{row['customer']} {row['total']}" for row in report["customers"][:4]))
    print(f"      {answer.headers.get('server-timing', '')}")
    found = step("see the usage that was counted", lambda: counted(owner, name, 100))
    if found != 100:
        fail(f"{found} calls were counted, not 100.")
    print(f"      {found} calls counted")
    chart = KEPT / f"{name}.png"
    chart.write_bytes(base64.b64decode(report["chart"]["base64"]))
    print(f"      the chart is {chart}")
    return url, key


def main() -> None:
    """Walk the whole road."""
    began = time.perf_counter()
    KEPT.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        httpx.get(f"{CONSOLE}/readyz", timeout=10).raise_for_status()
    except httpx.HTTPError:
        fail(f"Ingot does not answer at {CONSOLE}. Start it with `make up`.")
    name = f"orders-{secrets.token_hex(3)}"
    print(f"From a draft to a metered call, with the function “{name}”\n")
    owner = step("an owner signs in", be_owner)
    author = step("the owner invites an author, who signs in", lambda: invite(owner, "author", "author"))
    reviewer = step("and a reviewer, who signs in", lambda: invite(owner, "reviewer", "reviewer"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        body = draft(author, name, folder)
        review(author, reviewer, name, folder)
        url, key = go_live(owner, name, body)
        source = next(path for path in folder.glob("*.py"))
        source.write_text(source.read_text() + "\n# The second version differs by this line.\n")
        step("edit and push a second draft", lambda: author.ingot("draft", "push", name, cwd=folder))
        review(author, reviewer, name, folder)
    step("release it as a 10 % canary", lambda: owner.ingot("release", "create", name, "--canary", "10"))
    step("call it 100 times more", lambda: call(url, key, body, 100))
    step("roll back", lambda: owner.ingot("release", "rollback", name))
    step("and call it once more", lambda: call(url, key, body, 1))
    print(f"\nDone in {time.perf_counter() - began:.1f} s. Call it again:\n")
    data = f"@{KEPT / name}.json"
    print(f"  curl -X POST {url} -H 'X-Api-Key: {key}' -H 'Content-Type: application/json' -d {data}\n")
    if (KEPT / "sign-in.json").exists():
        print(f"The demo's owner signs in at {CONSOLE} with what is in {KEPT / 'sign-in.json'}")


if __name__ == "__main__":
    main()
