"""Every starter without dependencies answers its own sample call, run as an instance runs it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from .harness import Instance, parse, post_json, request

_STARTERS = Path(__file__).parents[2] / "templates" / "starters"


def starter(name: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Return a starter's files and what an instance of it is told."""
    folder = _STARTERS / name
    files = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    declared = tomllib.loads(files["ingot.toml"])
    told = {"kind": declared.get("kind", "handler"), "handler": declared["handler"]}
    if "contract.json" in files:
        contract = json.loads(files["contract.json"])
        told |= {"input_schema": contract["input"], "output_schema": contract["output"]}
    return files, told


def test_what_runs_here_is_every_starter_without_dependencies() -> None:
    plain = {path.name for path in _STARTERS.iterdir() if not (path / "requirements.txt").exists()}
    assert plain == {"hello", "asgi-hello"}


def test_hello_greets_logs_and_refuses_what_its_contract_forbids(tmp_path: Path) -> None:
    files, told = starter("hello")
    with Instance(tmp_path, files, **told) as instance:
        answer = instance.call(post_json(json.loads(files["input.json"])))
        assert (answer.status, answer.json) == (200, {"greeting": "Hello, Ada!"})
        assert instance.post({"name": 7}).status == 422
        logged = [(record["m"], record["f"]["name_length"]) for record in instance.log()]
    assert logged == [("greeting", 3)]


def test_asgi_hello_greets_counts_and_knows_no_other_path(tmp_path: Path) -> None:
    files, told = starter("asgi-hello")
    with Instance(tmp_path, files, **told) as instance:
        assert instance.call(request("GET", "/")).json == {"hello": "world", "method": "GET"}
        counted = parse(instance.raw(request("GET", "/count")))
        assert (counted.status, counted.body) == (200, b"1\n2\n3\n")
        assert instance.call(request("GET", "/nowhere")).status == 404
