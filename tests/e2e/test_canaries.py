"""Secrets of every kind go through a whole system; none of them is found in any file afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.collector import Collector, collector
from tests.support.system import System, running_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FUNCTION = {
    "ingot.toml": "handler = 'main:execute'\nsecrets = ['PIN']\n",
    "main.py": (
        "def execute(input, context):\n"
        "    if input and input.get('fail'):\n"
        "        raise ValueError('on purpose')\n"
        "    return {'length': len(context.secrets['PIN'])}\n"
    ),
}


@pytest.fixture(scope="module")
def spans() -> Iterator[Collector]:
    with collector() as made:
        yield made


@pytest.fixture(scope="module")
def system(spans: Collector) -> Iterator[System]:
    with running_system(INGOT_TRACES_ENDPOINT=spans.url) as made:
        yield made


def canary() -> str:
    """Return a text that nobody else writes."""
    return f"canary{secrets.token_hex(12)}"


def files_with(folder: Path, text: str) -> list[str]:
    wanted = text.encode()
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and wanted in path.read_bytes()
    )


def test_no_secret_lies_in_any_file_or_span(system: System, spans: Collector) -> None:
    token = system.people["owner"].http.headers["Authorization"].removeprefix("Bearer ")
    sent = {
        name: canary()
        for name in (
            "secret",
            "password",
            "header",
            "authorization",
            "cookie",
            "query",
            "body",
            "bad_token",
            "bad_key",
        )
    }
    put_secret(system, sent["secret"])
    system.publish("keeper", FUNCTION)
    key = system.key()
    system.wait_callable("keeper", key)
    call_functions(system, key, sent)
    call_api(system, sent)
    system.stop()
    found = {name: files_with(system.folder, text) for name, text in sent.items()}
    found |= {"key": files_with(system.folder, key), "token": files_with(system.folder, token)}
    exported = repr(spans.spans)
    found |= {f"{name} exported": ["span"] for name, text in sent.items() if text in exported}
    # The one-time secret part alone must not be anywhere either.
    found |= {"key's secret": files_with(system.folder, key.split("_")[-2])}
    assert {name: files for name, files in found.items() if files} == {}
    # What might have told them was written at all.
    assert {one.service for one in spans.spans} >= {"ingot-gateway", "ingot-instance", "ingot-control-plane"}
    assert any(path.stat().st_size for path in (system.data / "host" / "logs").glob("*/*.jsonl"))
    assert (system.data / "logs" / "worker.log").stat().st_size


def put_secret(system: System, value: str) -> None:
    for stage in ("live", "test"):
        body = {"value": value, "stage": stage}
        system.people["owner"].call("PUT", "/projects/main/secrets/PIN", json=body)


def call_functions(system: System, key: str, sent: dict[str, str]) -> None:
    headers = {
        "X-Api-Key": key,
        "X-Canary": sent["header"],
        "Cookie": f"ingot_session_1={sent['cookie']}",
        "Authorization": f"Bearer {sent['authorization']}",
    }
    url = f"{system.url('keeper')}?token={sent['query']}"
    for body in ({"text": sent["body"]}, {"text": sent["body"], "fail": True}):
        httpx.post(url, json=body, headers=headers, timeout=30)
    assert httpx.post(url, json={}, headers={"X-Api-Key": key}, timeout=30).status_code == 200
    assert httpx.post(url, json={}, headers={"X-Api-Key": sent["bad_key"]}).status_code == 401
    assert httpx.post(url, content=f"not json {sent['body']}", headers=headers).status_code >= 400


def call_api(system: System, sent: dict[str, str]) -> None:
    api = f"{system.console}/api/v1"
    proof = {"Origin": system.console, "Sec-Fetch-Site": "same-origin"}
    for email in ("owner@example.com", "nobody@example.com"):
        body = {"email": email, "password": sent["password"]}
        assert httpx.post(f"{api}/sessions", json=body, headers=proof).status_code >= 400
    bad = {"Authorization": f"Bearer {sent['bad_token']}"}
    for path in ("/me", f"/functions?cursor={sent['query']}", f"/functions/x?token={sent['query']}"):
        assert httpx.get(f"{api}{path}", headers=bad).status_code == 401
    assert httpx.get(f"{api}/me", headers={"Cookie": f"ingot_session_{system.console_port}={sent['cookie']}"})
    owner = system.people["owner"].http
    assert owner.post("/api/v1/functions", json={"name": 7, "body": sent["body"]}).status_code == 422
    assert owner.post("/api/v1/functions", content=sent["body"].encode() * 20).status_code >= 400
